/**
 * Where packets for the gateway's own sockets leave the data plane, and what the data plane knows of these sockets. The sockets
 * themselves are another thread's, or nobody's (tests).
 */
import type { Attachment } from './attachment.js'
import type { Region, Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import type { Arrival, NetworkUser } from './stack/sockets/network.js'

export interface LocalDelivery {
  /**
   * Takes a packet for this host, as rules and NAT have left it; a fragment of one too. The packet is copied, its bytes and `arrival` mean
   * nothing afterwards.
   * @param from where it came in
   * @returns 0 or a drop code, `socket-queue-full`
   */
  deliver(packet: Packet, from: Attachment, arrival: Arrival): number
}

/** What sockets are told of the packets that they send; network.ts has the meaning. */
export type SocketOwner = Pick<NetworkUser, 'path' | 'taken' | 'refused'>

/** @param slab where the packets are that will be delivered; @param region of it, for packets of the sockets until they are sent */
export type OpenDelivery = (slab: Slab, region: Region) => LocalDelivery & SocketOwner

/** What the data plane asks of the table of sockets (SocketTable), which another thread may change meanwhile. Rows are numbers, -1 is none. */
export interface SocketLookup {
  /** The socket that is connected with these ends. @param iface number of the interface that the packet came in by */
  findConnected(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number): number
  /** TCP: a listener; UDP: a socket that is not connected. @param hash of the packet's source, for groups of sockets that share a port */
  findBound(protocol: number, destination: number, destinationPort: number, iface: number, hash: number): number
  /** Rows are below. */
  readonly capacity: number
  /** Another one once a row is used for another socket. */
  generationOf(row: number): number
  /** Number of the only interface that the socket uses, 0 for any. */
  interfaceOf(row: number): number
  protocolOf(row: number): number
  /** Bits of SOCKET_FLAG. */
  flagsOf(row: number): number
  /** uint32 */
  markOf(row: number): number
  localAddressOf(row: number): number
  localPortOf(row: number): number
  remoteAddressOf(row: number): number
  remotePortOf(row: number): number
}
