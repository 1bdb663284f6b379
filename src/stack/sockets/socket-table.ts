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
import * as ipv4 from '../wire/ipv4.js'
import { PortUse } from './port-use.js'
import { SOCKET_FLAG, type SocketRow } from './socket-row.js'

export { SOCKET_FLAG, type SocketRow } from './socket-row.js'

/** Rows that a table can have. */
export const MAX_SOCKETS = 1 << 20

/** Words (int32) of the header. */
const VERSION = 0
const CAPACITY = 1
const BUCKET_BITS = 2
/** First row of the list of free ones. */
const FREE = 3
/** Rows from here on have never been used. */
const FRESH = 4
const COUNT = 5
const KEYS = 6
const KEY_COUNT = 8
const HEADER_WORDS = 16

/** Words of a row. */
const ROW_WORDS = 16
/** flags << 8 | protocol; 0 for a free row. */
const KIND = 0
const LOCAL_ADDRESS = 1
const REMOTE_ADDRESS = 2
/** local << 16 | remote. */
const PORTS = 3
const INTERFACE = 4
const MARK = 5
const TOS = 6
const GENERATION = 7
const NEXT = 8
/** Where the chain begins that the row is in. */
const BUCKET = 9

const NONE = -1
const MAX_BUCKET_BITS = 17
const RETRIES = 64

const PROTOCOL_MASK = 0xff
const CONNECTED = SOCKET_FLAG.connected << 8
const LISTENING = SOCKET_FLAG.listening << 8
const REUSE_PORT = SOCKET_FLAG.reusePort << 8

/** What a search looks for. */
const SEARCH_CONNECTED = 1
const SEARCH_BOUND = 2
const SEARCH_ALL = 3

/** A permutation of 32-bit words after which each bit depends on all. */
const mix = (word: number): number => {
  const once = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35)
  return twice ^ (twice >>> 16)
}

const bucketBitsFor = (capacity: number): number => Math.min(MAX_BUCKET_BITS, Math.max(4, 32 - Math.clz32(capacity - 1)))

export class SocketTable {
  readonly capacity: number
  readonly #words: Int32Array
  /** The first word of the rows. */
  readonly #rows: number
  readonly #shift: number
  #ports: PortUse | undefined

  /** @param buffer what `allocate` made, here or in another thread */
  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
    this.capacity = this.#words[CAPACITY]!
    const bits = this.#words[BUCKET_BITS]!
    this.#shift = 32 - bits
    this.#rows = HEADER_WORDS + (1 << bits)
  }

  /** An empty table. @param capacity rows, 1 … MAX_SOCKETS */
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

  /** Rows in use. */
  get count(): number {
    return Atomics.load(this.#words, COUNT)
  }

  /** Who has which local port; for the writing thread only. */
  get ports(): PortUse {
    return (this.#ports ??= this.#collectPorts())
  }

  /** Returns the index of the new row, or -1 when the table is full. */
  add(row: SocketRow): number {
    const words = this.#words
    let index = words[FREE]!
    if (index === NONE && words[FRESH] === this.capacity) return NONE
    this.#beginWrite()
    if (index === NONE) index = words[FRESH]!++
    else words[FREE] = words[this.#rows + index * ROW_WORDS + NEXT]!
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
      ((row.flags ^ next.flags) & SOCKET_FLAG.connected) === 0
    this.#beginWrite()
    if (!keepsKey) this.#unlink(index)
    this.#store(index, next)
    if (!keepsKey) this.#link(index)
    this.#endWrite()
  }

  remove(index: number): void {
    const words = this.#words
    const at = this.#rows + index * ROW_WORDS
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
   * The socket with exactly these ends: of TCP one that is not a listener, also in TIME_WAIT; else a connected one. -1 when there is none.
   * @param iface number of the interface that the packet came in by, 0 for any
   */
  findConnected(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number): number {
    return this.#search(SEARCH_CONNECTED, protocol, source, sourcePort, destination, destinationPort, iface, 0)
  }

  /**
   * The socket that is bound to this address and port, or to the port on any address: a listener of TCP, else one that is not connected.
   * -1 when there is none.
   * @param hash of the source (`flowHash`): it chooses among the members of a reuseport group
   */
  findBound(protocol: number, destination: number, destinationPort: number, iface: number, hash: number): number {
    return this.#search(SEARCH_BOUND, protocol, 0, 0, destination, destinationPort, iface, hash)
  }

  /** The socket that a packet with these ends is for, -1 when there is none. */
  find(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number, hash: number): number {
    return this.#search(SEARCH_ALL, protocol, source, sourcePort, destination, destinationPort, iface, hash)
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
    const words = this.#words
    let index = after === NONE ? words[this.#bucket(protocol, local, port, 0, 0)]! : words[this.#rows + after * ROW_WORDS + NEXT]!
    for (; index !== NONE; index = words[this.#rows + index * ROW_WORDS + NEXT]!) {
      const at = this.#rows + index * ROW_WORDS
      if ((words[at + KIND]! & (CONNECTED | PROTOCOL_MASK)) === protocol && words[at + PORTS]! >>> 16 === port && words[at + LOCAL_ADDRESS] === local) break
    }
    return index
  }

  /** A keyed hash of a packet's ends, uint32. */
  flowHash(source: number, sourcePort: number, destination: number, destinationPort: number): number {
    return this.#hash(0, destination, destinationPort, source, sourcePort) >>> 0
  }

  /** 0 for a row that is not in use. */
  protocolOf(index: number): number {
    return this.#load(index, KIND) & PROTOCOL_MASK
  }

  flagsOf(index: number): number {
    return this.#load(index, KIND) >>> 8
  }

  /** uint32. */
  markOf(index: number): number {
    return this.#load(index, MARK) >>> 0
  }

  tosOf(index: number): number {
    return this.#load(index, TOS)
  }

  localAddressOf(index: number): number {
    return this.#load(index, LOCAL_ADDRESS)
  }

  localPortOf(index: number): number {
    return this.#load(index, PORTS) >>> 16
  }

  remoteAddressOf(index: number): number {
    return this.#load(index, REMOTE_ADDRESS)
  }

  remotePortOf(index: number): number {
    return this.#load(index, PORTS) & 0xffff
  }

  /** Number of the interface that the socket is bound to, 0 for none. */
  interfaceOf(index: number): number {
    return this.#load(index, INTERFACE)
  }

  /** Another number once the row is another socket's. */
  generationOf(index: number): number {
    return this.#load(index, GENERATION)
  }

  /** The whole row, as an object. */
  rowOf(index: number): SocketRow {
    return {
      protocol: this.protocolOf(index),
      flags: this.flagsOf(index),
      localAddress: this.localAddressOf(index),
      localPort: this.localPortOf(index),
      remoteAddress: this.remoteAddressOf(index),
      remotePort: this.remotePortOf(index),
      interface: this.interfaceOf(index),
      mark: this.markOf(index),
      tos: this.tosOf(index),
    }
  }

  #load(index: number, word: number): number {
    return Atomics.load(this.#words, this.#rows + index * ROW_WORDS + word)
  }

  /** From here to `#endWrite` readers know that rows change. An exchange and no store: what follows must not be seen before it. */
  #beginWrite(): void {
    Atomics.add(this.#words, VERSION, 1)
  }

  #endWrite(): void {
    Atomics.add(this.#words, VERSION, 1)
  }

  #store(index: number, row: SocketRow): void {
    const words = this.#words
    const at = this.#rows + index * ROW_WORDS
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
    const words = this.#words
    const at = this.#rows + index * ROW_WORDS
    const kind = words[at + KIND]!
    const protocol = kind & PROTOCOL_MASK
    const ports = words[at + PORTS]!
    const isConnected = (kind & CONNECTED) !== 0
    const bucket = isConnected
      ? this.#bucket(protocol, words[at + LOCAL_ADDRESS]!, ports >>> 16, words[at + REMOTE_ADDRESS]!, ports & 0xffff)
      : this.#bucket(protocol, words[at + LOCAL_ADDRESS]!, ports >>> 16, 0, 0)
    words[at + BUCKET] = bucket
    words[at + NEXT] = words[bucket]!
    Atomics.store(words, bucket, index)
    this.#ports?.add(index, protocol, ports >>> 16, isConnected)
  }

  #unlink(index: number): void {
    const words = this.#words
    const at = this.#rows + index * ROW_WORDS
    let link = words[at + BUCKET]!
    while (words[link] !== index) link = this.#rows + words[link]! * ROW_WORDS + NEXT
    Atomics.store(words, link, words[at + NEXT]!)
    const kind = words[at + KIND]!
    this.#ports?.remove(index, kind & PROTOCOL_MASK, words[at + PORTS]! >>> 16, (kind & CONNECTED) !== 0)
  }

  #collectPorts(): PortUse {
    const ports = new PortUse(this.capacity)
    for (let index = 0; index < this.#words[FRESH]!; index++) {
      const protocol = this.protocolOf(index)
      if (protocol !== 0) ports.add(index, protocol, this.localPortOf(index), (this.flagsOf(index) & SOCKET_FLAG.connected) !== 0)
    }
    return ports
  }

  #hash(protocol: number, local: number, localPort: number, remote: number, remotePort: number): number {
    const words = this.#words
    return mix(
      words[KEYS]! +
      Math.imul(words[KEYS + 1]!, local >>> 16) +
      Math.imul(words[KEYS + 2]!, local & 0xffff) +
      Math.imul(words[KEYS + 3]!, remote >>> 16) +
      Math.imul(words[KEYS + 4]!, remote & 0xffff) +
      Math.imul(words[KEYS + 5]!, localPort) +
      Math.imul(words[KEYS + 6]!, remotePort) +
      Math.imul(words[KEYS + 7]!, protocol),
    )
  }

  /** The word that a chain begins in. */
  #bucket(protocol: number, local: number, localPort: number, remote: number, remotePort: number): number {
    return HEADER_WORDS + (this.#hash(protocol, local, localPort, remote, remotePort) >>> this.#shift)
  }

  #search(what: number, protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number, hash: number): number {
    for (let attempt = 0; ; attempt++) {
      const version = Atomics.load(this.#words, VERSION)
      const index = this.#probe(what, protocol, source, sourcePort, destination, destinationPort, iface, hash)
      if (attempt === RETRIES || ((version & 1) === 0 && Atomics.load(this.#words, VERSION) === version)) return index
    }
  }

  #probe(what: number, protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number, hash: number): number {
    const wantsConnected = (what & SEARCH_CONNECTED) !== 0
    const wantsBound = (what & SEARCH_BOUND) !== 0
    let index = NONE
    if (wantsConnected) index = this.#probeConnected(protocol, destination, destinationPort, source, sourcePort, iface)
    if (index !== NONE || !wantsBound) return index
    index = this.#probeBound(protocol, destination, destinationPort, iface, hash)
    if (index !== NONE) return index
    if (wantsConnected && protocol !== ipv4.PROTOCOL_TCP) index = this.#probeConnected(protocol, 0, destinationPort, source, sourcePort, iface)
    return index !== NONE ? index : this.#probeBound(protocol, 0, destinationPort, iface, hash)
  }

  #probeConnected(protocol: number, local: number, localPort: number, remote: number, remotePort: number, iface: number): number {
    const words = this.#words
    const ports = (localPort << 16) | remotePort
    const kind = CONNECTED | protocol
    let found = NONE
    let steps = this.capacity
    let index = Atomics.load(words, this.#bucket(protocol, local, localPort, remote, remotePort))
    for (; index !== NONE && steps > 0; steps--) {
      const at = this.#rows + index * ROW_WORDS
      if (
        Atomics.load(words, at + PORTS) === ports &&
        Atomics.load(words, at + REMOTE_ADDRESS) === remote &&
        Atomics.load(words, at + LOCAL_ADDRESS) === local &&
        (Atomics.load(words, at + KIND) & (CONNECTED | PROTOCOL_MASK)) === kind
      ) {
        const device = Atomics.load(words, at + INTERFACE)
        if (device === 0 && found === NONE) found = index
        if (device !== 0 && (device === iface || iface === 0)) return index
      }
      index = Atomics.load(words, at + NEXT)
    }
    return found
  }

  #probeBound(protocol: number, local: number, port: number, iface: number, hash: number): number {
    const bucket = this.#bucket(protocol, local, port, 0, 0)
    const best = this.#bestBound(bucket, protocol, local, port, iface)
    if (best === NONE || (this.#load(best, KIND) & REUSE_PORT) === 0) return best
    const device = this.#load(best, INTERFACE)
    const members = -1 - this.#member(bucket, protocol, local, port, device, Infinity)
    if (members <= 1) return best
    const chosen = this.#member(bucket, protocol, local, port, device, Math.floor(((hash >>> 0) / 0x1_0000_0000) * members))
    return chosen < 0 ? best : chosen
  }

  #bestBound(bucket: number, protocol: number, local: number, port: number, iface: number): number {
    const words = this.#words
    let found = NONE
    let steps = this.capacity
    for (let index = Atomics.load(words, bucket); index !== NONE && steps > 0; steps--) {
      const at = this.#rows + index * ROW_WORDS
      if (this.#isBound(at, protocol, local, port)) {
        const device = Atomics.load(words, at + INTERFACE)
        if (device !== 0 && (device === iface || iface === 0)) return index
        if (device === 0 && found === NONE) found = index
      }
      index = Atomics.load(words, at + NEXT)
    }
    return found
  }

  /** The nth row, from 0 on, of a reuseport group; -1 - (number of members) when it has no more than n. */
  #member(bucket: number, protocol: number, local: number, port: number, device: number, nth: number): number {
    const words = this.#words
    let seen = 0
    let steps = this.capacity
    for (let index = Atomics.load(words, bucket); index !== NONE && steps > 0; steps--) {
      const at = this.#rows + index * ROW_WORDS
      if (
        this.#isBound(at, protocol, local, port) &&
        Atomics.load(words, at + INTERFACE) === device &&
        (Atomics.load(words, at + KIND) & REUSE_PORT) !== 0 &&
        seen++ === nth
      ) {
        return index
      }
      index = Atomics.load(words, at + NEXT)
    }
    return -1 - seen
  }

  /** Whether the row at a word is bound to these, and takes what has no connection. */
  #isBound(at: number, protocol: number, local: number, port: number): boolean {
    const words = this.#words
    const kind = Atomics.load(words, at + KIND)
    if ((kind & (CONNECTED | PROTOCOL_MASK)) !== protocol || (protocol === ipv4.PROTOCOL_TCP && (kind & LISTENING) === 0)) return false
    return Atomics.load(words, at + PORTS) >>> 16 === port && Atomics.load(words, at + LOCAL_ADDRESS) === local
  }
}
