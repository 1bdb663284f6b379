/** Where packets for the gateway's own sockets leave the data plane. The sockets are another thread's, or nobody's (tests). */
import type { Attachment } from './attachment.js'
import type { Region, Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import type { Arrival, NetworkUser } from './stack/sockets/network.js'

export interface LocalDelivery {
  /**
   * Takes a packet for this host, as rules and NAT have left it; a fragment of one too. The packet is copied, its bytes and `arrival` mean
   * nothing afterwards.
   * @param from where it came in; null: it was sent here
   * @returns 0 or a drop code, `socket-queue-full`
   */
  deliver(packet: Packet, from: Attachment | null, arrival: Arrival): number
}

/** What sockets are told of the packets that they send; network.ts has the meaning. */
export type SocketOwner = Pick<NetworkUser, 'path' | 'taken' | 'refused'>

/** @param slab where the packets are that will be delivered; @param region of it, for packets of the sockets until they are sent */
export type OpenDelivery = (slab: Slab, region: Region) => LocalDelivery & SocketOwner
