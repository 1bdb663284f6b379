/**
 * The device contract, whole. A device moves batches of IPv4 packets between the slab and something outside: a TUN, a
 * packet socket, memory. Devices wrap devices (pcap, fault). All packets are in the canonical form of batch.ts.
 */
import type { Batch, Region, Slab } from '../batch.js'

/** What a device does for packets on their way out, so that the sender need not. */
export interface Offloads {
  /** Completes transport checksums that are marked VIRTIO_NET_HDR_F_NEEDS_CSUM. */
  readonly checksum: boolean
  /** Segments TCPv4 superpackets. */
  readonly tcp: boolean
  /** Segments UDP superpackets (USO). */
  readonly udp: boolean
}

export const NO_OFFLOADS: Offloads = { checksum: false, tcp: false, udp: false }

/**
 * Link-layer (MAC) addresses of neighbours, by the index that a packet carries in {@link Batch.link}. Written by whoever
 * resolves neighbours, read by devices with Ethernet headers.
 */
export interface LinkAddresses {
  /** Upper 16 bits. */
  readonly high: Uint16Array
  /** Lower 32 bits. */
  readonly low: Int32Array
}

export interface DeviceCounters {
  /** Packets that the device could not send (full queue, link down); they are lost. */
  sendErrors: number
  /** errno of the latest of them, positive; 0 when there was none. */
  lastErrno: number
}

export interface Device {
  readonly name: string
  /** What the other side of `send` completes for us. */
  readonly offloads: Offloads
  /** Descriptor to poll for readability; -1 when there is none (memory). */
  readonly fd: number
  readonly counters: DeviceCounters
  /**
   * Receives what is there, without waiting, into `region` of the slab, up to the batch's limit; a device
   * for which a packet more costs nothing may go up to its capacity.
   * The batch is cleared first. Returns the number of packets, or -errno when the device is gone (-ENODEV, -EBADFD, -EIO).
   */
  receive(slab: Slab, region: Region, batch: Batch): number
  /** Sends a whole batch and clears it. What cannot be sent is counted and lost. */
  send(slab: Slab, batch: Batch): void
  close(): void
}
