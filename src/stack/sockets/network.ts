/**
 * What a stack of sockets stands on. Below may be a device that the stack has for itself (device-network.ts), or the data plane of a
 * gateway in another thread; the sockets cannot tell them apart.
 *
 * Where a packet leaves, and with which source address, is the network's to say, since routes and rules are there. A socket that is not
 * bound to an address sends with source 0.0.0.0; the network fills in the address that routes give, meets the rules of OUTPUT, looks at
 * the routes again when those changed what routes depend on, and completes the checksums by increment (RFC 1624). What it decided it
 * tells by `path`, before any answer to the packet can arrive.
 */
import type { Slab } from '../batch.js'
import type { Offloads } from '../device/device.js'

/** In place of a socket's row: none. */
export const NO_SOCKET = -1

export interface Network {
  /** Where packets are built that are to be sent. */
  readonly slab: Slab
  /** The largest MTU of all ways out, in bytes: what a path is taken to carry as long as `path` has said nothing. */
  readonly mtu: number
  /** What is done for packets that are sent: with `tcp`, segments of up to 64 KiB may be handed down. */
  readonly offloads: Offloads
  /** Who is told what happens below; set by the stack. */
  user: NetworkUser
  /** The address is one of this host's own, one of 127.0.0.0/8, or 0.0.0.0. Others can only be bound to transparently. */
  isLocal(address: number): boolean
  /** Somebody else than these sockets has the port at that address, 0 for any, as the host's kernel may. Absent: nobody ever. */
  isOccupied?(protocol: number, address: number, port: number): boolean
  /** The address is the broadcast address of a network that this host is on, or 255.255.255.255. */
  isBroadcast(address: number): boolean
  /**
   * Room for a packet: the address where its IPv4 header shall begin, with a virtio header before it in the canonical form of batch.ts,
   * cleared. -1 when the queue is full: the packet is lost, and `user.room` is called when there is room again.
   * @param length bytes from the IPv4 header on, 20 … 65535
   */
  reserve(length: number): number
  /**
   * Sends the packet that was built at the address that `reserve` gave last.
   * @param length bytes, at most those reserved
   * @param socket row of the socket that sends (socket-table.ts), or NO_SOCKET for an answer of none
   */
  send(at: number, length: number, socket: number): void
}

/** What is known of a packet beyond its bytes. Read while `receive` runs, then reused. */
export interface Arrival {
  /** Row of the socket that a TPROXY rule gave the packet to, or NO_SOCKET: it is looked up. */
  socket: number
  /** Where the packet was sent to before NAT sent it here; its port is -1 when NAT did not. */
  originalAddress: number
  originalPort: number
  /** Number of the interface that it came in by (`lo` is 1), 0 when that is not known. */
  interface: number
  /** The firewall mark that rules gave it, uint32. */
  mark: number
}

export interface NetworkUser {
  /** A packet for this host, from its IPv4 header on; a fragment of one too. It stays at `at` only while this runs. */
  receive(slab: Slab, at: number, length: number, arrival: Arrival): void
  /** All packets that were there have been received: now answer. */
  settle(): void
  /**
   * Packets of the socket leave with this source from now on, by a path of this MTU. A socket that is bound to an address already gets
   * the same one back.
   */
  path(socket: number, source: number, mtu: number): void
  /**
   * The socket's packet was not sent: with this source, its port and its remote end are another socket's already. It shall have this
   * address, choose another port, and send again.
   */
  taken(socket: number, source: number): void
  /** The socket's packet was not sent. @param errno positive, as the kernel's sendmsg(2) would say it: EHOSTUNREACH, EPERM … */
  refused(socket: number, errno: number): void
  /** There is room again after `reserve` had none. */
  room(): void
}
