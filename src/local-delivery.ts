/** Where packets for the gateway's own sockets leave the data plane. The sockets are another thread's, or nobody's (tests). */
import type { Attachment } from './attachment.js'
import type { Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import type { Arrival } from './stack/sockets/network.js'

export interface LocalDelivery {
  /**
   * Takes a packet for this host, as rules and NAT have left it; a fragment of one too. The packet is copied, its bytes and `arrival` mean
   * nothing afterwards.
   * @param from where it came in
   * @returns 0 or a drop code, `socket-queue-full`
   */
  deliver(packet: Packet, from: Attachment, arrival: Arrival): number
}

/** @param slab where the packets are that will be delivered */
export type OpenDelivery = (slab: Slab) => LocalDelivery
