/** What rules ask that is not in the packet. All of it answers at once, without allocating or throwing. */
import type { InterfaceNames } from '../sets/interface-names.js'
import type { SetStore } from '../sets/set-store.js'
import type { PacketMeta } from './packet-meta.js'

/** Names of interfaces by number; 0 is no interface. */
export type InterfaceNumbers = Pick<InterfaceNames, 'numberOf' | 'beginsWith'>

export type SetLookup = Pick<SetStore, 'matches' | 'add' | 'remove'>

export interface Environment {
  /** Milliseconds, not going back. */
  readonly clock: { readonly now: number }
  /** What to add to the clock for milliseconds since 1970. */
  readonly wallOffset: number
  /** Seconds that local time is ahead of UTC, for `-m time --kerneltz`. */
  readonly zoneSeconds: number
  /** Uniform in 0 .. 2^32 - 1. */
  readonly random: { next(): number }
  readonly interfaces: InterfaceNumbers
  readonly sets: SetLookup
  /** The number of a set; -1 when there is none of this name: nothing is in it. Asked when rules are compiled. */
  setNumber(name: string): number
  /** The index in ADDRESS_TYPES. @param interfaceNumber 0, or the only one whose addresses are local */
  addressType(address: number, interfaceNumber: number): number
  /**
   * Whether a flow with this original tuple is tracked, and not a TCP connection that is over.
   * @param ports `source << 16 | destination`
   */
  isConnected(source: number, destination: number, ports: number, protocol: number): boolean
  /**
   * The socket that waits for the packet, by its row; -1 when there is none.
   * @param assigned the socket that TPROXY gave the packet to, which is asked about then; -1: none
   * @param transparent only a transparent one; @param noWildcard also one that is bound to any address
   */
  findSocket(packet: PacketMeta, assigned: number, transparent: boolean, noWildcard: boolean): number
  /** The mark of a socket, uint32; -1 for what is left of a connection that is over, which has none. */
  markOfSocket(row: number): number
  /**
   * The transparent socket that takes a packet for TPROXY: one that is connected with its ends, else one that is bound to this address and
   * port (0: the first one of the interface that it came by, and its own port). -1 when there is none.
   */
  findProxy(packet: PacketMeta, address: number, port: number): number
  /** Whether the TCP header of the packet has this option. */
  hasTcpOption(packet: PacketMeta, option: number): boolean
  /** The maximum segment size in the TCP header of the packet; -1 when it has none. */
  tcpMss(packet: PacketMeta): number
}
