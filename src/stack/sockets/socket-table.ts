/**
 * The table of all sockets: which one is a packet for?
 *
 * Theory of operation
 *
 * The table is one SharedArrayBuffer: a header, buckets, rows of one cache line. The thread that has the sockets writes it; the data plane
 * in another thread reads it for TPROXY, `-m socket` and packets on their way out.
 *
 * A row is in one chain. The key of a connected row is protocol, local and remote end; that of others is protocol and local end. So a
 * packet finds its socket in four probes at most, by the kernel's order and scores (inet_lookup, udp4_lib_lookup): connected; bound to
 * its destination; connected before routes chose an address (not TCP); bound to any address. Among several of one kind a socket that is
 * bound to the packet's interface comes first, then the newest; if that one is of a reuseport group (same address, port and
 * interface), the hash of the source chooses among its members.
 *
 * The kernel does not always come to the one that is bound to the interface: among connected sockets, and in front of a reuseport group,
 * it takes the first that fits. Here the more exact one always comes first.
 *
 * Others read while the writer writes. The version is odd while a row or a chain changes; a reader that saw it odd, or another one after
 * its search, searches again, at most RETRIES times, and then takes what it found last: a row's fields were compared, so that
 * this can be wrong only where that very row is being changed. Readers load words with Atomics, the writer fences with the version.
 * No chain ever contains a cycle; a reader that is carried into other chains while rows move is stopped by the number of rows.
 *
 * Chains are short however keys are chosen from outside: the hash is multilinear over 16-bit words with secret keys, for which two keys
 * meet with a probability of 2^-17 at most, whoever chooses them. Its bits are mixed in the end, so that ports in a row are spread as well.
 *
 * Memory: 68 bytes a row. Finding, adding, changing, removing: O(1) but for members of one reuseport group.
 */
import { getRandomValues } from 'node:crypto'
import { PortUse } from './port-use.js'
import {
  BUCKET, BUCKET_BITS, CAPACITY, CONNECTED, COUNT, FREE, FRESH, GENERATION, HEADER_WORDS, INTERFACE, KEY_COUNT, KEYS, KIND,
  LOCAL_ADDRESS, MARK, NEXT, NONE, PORTS, PROTOCOL_MASK, REMOTE_ADDRESS, ROW_WORDS, TOS, VERSION,
} from './socket-layout.js'
import { SocketReader } from './socket-reader.js'
import { SOCKET_FLAG, type SocketRow } from './socket-row.js'

export { SOCKET_FLAG, type SocketRow } from './socket-row.js'

const MAX_BUCKET_BITS = 17
const TRANSPARENT = SOCKET_FLAG.transparent << 8
const LOOPBACK_NET = 127

const bucketBitsFor = (capacity: number): number => Math.min(MAX_BUCKET_BITS, Math.max(4, 32 - Math.clz32(capacity - 1)))

export class SocketTable extends SocketReader {
  #ports: PortUse | undefined
  /** Removes a row that is worth less than a new one; returns false when there is none. Called when the table is full. */
  makeRoom: () => boolean = () => false

  /** An empty table. @param capacity rows, 1 … 2^20 */
  static allocate(capacity: number): SharedArrayBuffer {
    const bits = bucketBitsFor(capacity)
    const buffer = new SharedArrayBuffer((HEADER_WORDS + (1 << bits) + capacity * ROW_WORDS) * 4)
    const words = new Int32Array(buffer)
    words[CAPACITY] = capacity
    words[BUCKET_BITS] = bits
    words[FREE] = NONE
    words.set(getRandomValues(new Int32Array(KEY_COUNT)), KEYS)
    words.fill(NONE, HEADER_WORDS, HEADER_WORDS + (1 << bits))
    return buffer
  }

  /** Who has which local port; for the writing thread only. */
  get ports(): PortUse {
    return (this.#ports ??= this.#collectPorts())
  }

  /** Returns the index of the new row, or -1 when the table is full. */
  add(row: SocketRow): number {
    const words = this.words
    const isFull = words[FREE] === NONE && words[FRESH] === this.capacity
    if (isFull && !this.makeRoom()) return NONE
    let index = words[FREE]!
    this.#beginWrite()
    if (index === NONE) index = words[FRESH]!++
    else words[FREE] = words[this.rows + index * ROW_WORDS + NEXT]!
    words[COUNT]!++
    this.#store(index, row)
    this.#link(index)
    this.#endWrite()
    return index
  }

  /** Changes a row. One whose key changes becomes the newest of its chain. */
  update(index: number, change: Partial<SocketRow>): void {
    const row = this.rowOf(index)
    const next = { ...row, ...change }
    const keepsKey =
      row.localAddress === next.localAddress &&
      row.localPort === next.localPort &&
      row.remoteAddress === next.remoteAddress &&
      row.remotePort === next.remotePort &&
      row.protocol === next.protocol &&
      ((row.flags ^ next.flags) & (SOCKET_FLAG.connected | SOCKET_FLAG.transparent)) === 0
    this.#beginWrite()
    if (!keepsKey) this.#unlink(index)
    this.#store(index, next)
    if (!keepsKey) this.#link(index)
    this.#endWrite()
  }

  remove(index: number): void {
    const words = this.words
    const at = this.rows + index * ROW_WORDS
    this.#beginWrite()
    this.#unlink(index)
    Atomics.store(words, at + KIND, 0)
    Atomics.add(words, at + GENERATION, 1)
    words[at + NEXT] = words[FREE]!
    words[FREE] = index
    words[COUNT]!--
    this.#endWrite()
  }

  /**
   * Puts into `out` all sockets that a broadcast with these ends is for, and returns how many; more than fit are left out. For the writing
   * thread only.
   */
  findAll(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number, out: Int32Array): number {
    const { ports } = this
    let found = 0
    for (let row = ports.first(protocol, destinationPort); row !== NONE && found < out.length; row = ports.next(row)) {
      const { flags, localAddress, remoteAddress, remotePort, interface: device } = this.rowOf(row)
      if (localAddress !== 0 && localAddress !== destination) continue
      if ((flags & SOCKET_FLAG.connected) !== 0 && (remoteAddress !== source || remotePort !== sourcePort)) continue
      if (device !== 0 && iface !== 0 && device !== iface) continue
      out[found++] = row
    }
    return found
  }

  /**
   * The next row after `after`, or the first after -1, that is not connected and has exactly this local end; -1 after the last. For the
   * writing thread only.
   */
  nextAt(protocol: number, local: number, port: number, after: number): number {
    const words = this.words
    let index = after === NONE ? words[this.bucket(protocol, local, port, 0, 0)]! : words[this.rows + after * ROW_WORDS + NEXT]!
    for (; index !== NONE; index = words[this.rows + index * ROW_WORDS + NEXT]!) {
      const at = this.rows + index * ROW_WORDS
      if ((words[at + KIND]! & (CONNECTED | PROTOCOL_MASK)) === protocol && words[at + PORTS]! >>> 16 === port && words[at + LOCAL_ADDRESS] === local) break
    }
    return index
  }

  /** From here to `#endWrite` readers know that rows change. An exchange and no store: what follows must not be seen before it. */
  #beginWrite(): void {
    Atomics.add(this.words, VERSION, 1)
  }

  #endWrite(): void {
    Atomics.add(this.words, VERSION, 1)
  }

  #store(index: number, row: SocketRow): void {
    const words = this.words
    const at = this.rows + index * ROW_WORDS
    words[at + KIND] = (row.flags << 8) | row.protocol
    words[at + LOCAL_ADDRESS] = row.localAddress
    words[at + REMOTE_ADDRESS] = row.remoteAddress
    words[at + PORTS] = (row.localPort << 16) | row.remotePort
    words[at + INTERFACE] = row.interface
    words[at + MARK] = row.mark
    words[at + TOS] = row.tos
  }

  /** Puts a row in front of the chain of its key. */
  #link(index: number): void {
    const words = this.words
    const at = this.rows + index * ROW_WORDS
    const kind = words[at + KIND]!
    const protocol = kind & PROTOCOL_MASK
    const ports = words[at + PORTS]!
    const isConnected = (kind & CONNECTED) !== 0
    const bucket = isConnected
      ? this.bucket(protocol, words[at + LOCAL_ADDRESS]!, ports >>> 16, words[at + REMOTE_ADDRESS]!, ports & 0xffff)
      : this.bucket(protocol, words[at + LOCAL_ADDRESS]!, ports >>> 16, 0, 0)
    words[at + BUCKET] = bucket
    words[at + NEXT] = words[bucket]!
    Atomics.store(words, bucket, index)
    this.#ports?.add(index, protocol, ports >>> 16, isConnected, this.#isOpen(index))
  }

  #unlink(index: number): void {
    const words = this.words
    const at = this.rows + index * ROW_WORDS
    let link = words[at + BUCKET]!
    while (words[link] !== index) link = this.rows + words[link]! * ROW_WORDS + NEXT
    Atomics.store(words, link, words[at + NEXT]!)
    const kind = words[at + KIND]!
    this.#ports?.remove(index, kind & PROTOCOL_MASK, words[at + PORTS]! >>> 16, (kind & CONNECTED) !== 0, this.#isOpen(index))
  }

  /**
   * Whether packets for a row come by its port: also those of a connection whose listener is gone. What is transparent and has an address
   * gets only what TPROXY leads to it.
   */
  #isOpen(index: number): boolean {
    const kind = this.words[this.rows + index * ROW_WORDS + KIND]!
    const address = this.words[this.rows + index * ROW_WORDS + LOCAL_ADDRESS]!
    return address === 0 || ((kind & TRANSPARENT) === 0 && address >>> 24 !== LOOPBACK_NET)
  }

  #collectPorts(): PortUse {
    const ports = new PortUse(this.capacity)
    for (let index = 0; index < this.words[FRESH]!; index++) {
      const protocol = this.protocolOf(index)
      if (protocol !== 0) ports.add(index, protocol, this.localPortOf(index), (this.flagsOf(index) & SOCKET_FLAG.connected) !== 0, this.#isOpen(index))
    }
    return ports
  }
}
