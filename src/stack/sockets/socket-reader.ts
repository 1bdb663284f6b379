/**
 * Finding sockets in the table of all, in whichever thread. How the table is built, and how it is read while it changes, socket-table.ts
 * says.
 */
import * as ipv4 from '../wire/ipv4.js'
import {
  BUCKET_BITS, CAPACITY, CONNECTED, COUNT, GENERATION, HEADER_WORDS, INTERFACE, KEYS, KIND, LISTENING, LOCAL_ADDRESS, MARK,
  NEXT, NONE, PORTS, PROTOCOL_MASK, REMOTE_ADDRESS, REUSE_PORT, ROW_WORDS, TOS, VERSION,
} from './socket-layout.js'
import type { SocketRow } from './socket-row.js'

/** Searches after the first, for a reader that the writer disturbs. */
const RETRIES = 64

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

export class SocketReader {
  readonly capacity: number
  protected readonly words: Int32Array
  /** The first word of the rows. */
  protected readonly rows: number
  readonly #shift: number

  /** @param buffer what `SocketTable.allocate` made, here or in another thread */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer)
    this.capacity = this.words[CAPACITY]!
    const bits = this.words[BUCKET_BITS]!
    this.#shift = 32 - bits
    this.rows = HEADER_WORDS + (1 << bits)
  }

  /** Rows in use. */
  get count(): number {
    return Atomics.load(this.words, COUNT)
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
    return Atomics.load(this.words, this.rows + index * ROW_WORDS + word)
  }

  #hash(protocol: number, local: number, localPort: number, remote: number, remotePort: number): number {
    const words = this.words
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
  protected bucket(protocol: number, local: number, localPort: number, remote: number, remotePort: number): number {
    return HEADER_WORDS + (this.#hash(protocol, local, localPort, remote, remotePort) >>> this.#shift)
  }

  #search(what: number, protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number, hash: number): number {
    for (let attempt = 0; ; attempt++) {
      const version = Atomics.load(this.words, VERSION)
      const index = this.#probe(what, protocol, source, sourcePort, destination, destinationPort, iface, hash)
      if (attempt === RETRIES || ((version & 1) === 0 && Atomics.load(this.words, VERSION) === version)) return index
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
    const words = this.words
    const ports = (localPort << 16) | remotePort
    const kind = CONNECTED | protocol
    let found = NONE
    let steps = this.capacity
    let index = Atomics.load(words, this.bucket(protocol, local, localPort, remote, remotePort))
    for (; index !== NONE && steps > 0; steps--) {
      const at = this.rows + index * ROW_WORDS
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
    const bucket = this.bucket(protocol, local, port, 0, 0)
    const best = this.#bestBound(bucket, protocol, local, port, iface)
    if (best === NONE || (this.#load(best, KIND) & REUSE_PORT) === 0) return best
    const device = this.#load(best, INTERFACE)
    const members = -1 - this.#member(bucket, protocol, local, port, device, Infinity)
    if (members <= 1) return best
    const chosen = this.#member(bucket, protocol, local, port, device, Math.floor(((hash >>> 0) / 0x1_0000_0000) * members))
    return chosen < 0 ? best : chosen
  }

  #bestBound(bucket: number, protocol: number, local: number, port: number, iface: number): number {
    const words = this.words
    let found = NONE
    let steps = this.capacity
    for (let index = Atomics.load(words, bucket); index !== NONE && steps > 0; steps--) {
      const at = this.rows + index * ROW_WORDS
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
    const words = this.words
    let seen = 0
    let steps = this.capacity
    for (let index = Atomics.load(words, bucket); index !== NONE && steps > 0; steps--) {
      const at = this.rows + index * ROW_WORDS
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
    const words = this.words
    const kind = Atomics.load(words, at + KIND)
    if ((kind & (CONNECTED | PROTOCOL_MASK)) !== protocol || (protocol === ipv4.PROTOCOL_TCP && (kind & LISTENING) === 0)) return false
    return Atomics.load(words, at + PORTS) >>> 16 === port && Atomics.load(words, at + LOCAL_ADDRESS) === local
  }
}
