/**
 * Fragments in transit: which flow does a fragment without transport header belong to?
 *
 * Theory of operation
 *
 * A datagram is known by (source, destination, protocol, ID, zone). When its first fragment has been translated, what it
 * belongs to (a flow's side and generation, opaque here) is remembered, and later fragments follow it at once. Later
 * fragments that come before the first are held and let go by it. Nothing is reassembled: a fragment leaves as it came.
 *
 * What has been seen of a datagram is known to the unit of 8 bytes. A fragment of which all has been seen is a duplicate and
 * only dropped. One of which a part has been seen, or that does not agree with the others where the datagram ends, ends the
 * datagram: it and what comes after it until the deadline is dropped (RFC 5722 4, which is for IPv6, and Linux for both).
 *
 * An entry ends when as many payload bytes have passed as the last fragment says there are, or at its deadline, fixed at the
 * arrival of the datagram's first-seen fragment (RFC 1122 3.3.2 recommends not to extend it). If the fragment with offset 0
 * has come by then, its sender is told (RFC 792, type 11 code 1); the entry keeps the beginning of that fragment for it, as it
 * came. A busy sender uses an ID again before the deadline of a datagram that lost a fragment (RFC 4963). So a first fragment
 * that comes again is a duplicate for REUSE_SECONDS only, and the beginning of another datagram from then on.
 *
 * Limits. A source may have as many entries as are free, but always FAIR_ENTRIES; beyond that its own oldest gives way. So
 * one source gets half of them, and n get n parts of n + 1. When many sources have taken all, the oldest of all gives way. A
 * flood of half datagrams, from however many forged addresses, thus does not stop those that come in order (RFC 4787 REQ-14).
 * Bytes held are shared out the same way, but there the newest is refused. Sources are told apart by a keyed hash into SHARES;
 * one that is at its limit has FAIR_ENTRIES or more, so that no more than 32 of the 4096 can be, and whoever else comes
 * hardly falls into one of those.
 *
 * Memory: 64 bytes of columns, 1 KiB of seen units and 128 bytes of the first fragment an entry, touched when used.
 */
import { Drop } from '../drop.js'
import { AgeLists } from './age-lists.js'
import type { HeldPackets } from './held.js'
import { NO_BLOCK } from './held.js'
import { FIRST_FRAGMENT, type Packet } from './parse.js'
import { SEEN, SeenUnits, UNSEEN } from './seen-units.js'
import * as ipv4 from './wire/ipv4.js'

/** Datagrams of which fragments are known, at most. */
export const ENTRIES = 2048
const BUCKETS = 4096
const SHARES = 4096
/** Entries that a source may always have. */
export const FAIR_ENTRIES = 64
/** The part of the held bytes that a source may always have. */
const FAIR_PART = ENTRIES / FAIR_ENTRIES
/** Seconds from the arrival of a datagram's first-seen fragment on within which its ID does not mean another datagram. */
export const REUSE_SECONDS = 2
const NONE = -1

const WORDS = 16
const SOURCE = 0
const DESTINATION = 1
/** ID << 16 | zone << 8 | protocol. */
const IDENTITY = 2
const OWNER = 3
const GENERATION = 4
const DEADLINE = 5
const RECEIVED = 6
/** Payload bytes of the whole datagram, -1 until the last fragment came. */
const TOTAL = 7
const HELD = 8
const CHAIN = 9
const BUCKET = 10
/** Which source's share the entry counts in. */
const SHARE = 11
/** Where the fragments seen so far end: bytes of payload from the start of the datagram. */
const REACH = 12
/** The ID that its fragments leave with, -1 for their own. */
const IDENTIFICATION = 13
/** Bytes kept of the first fragment, 0 until it came. */
const QUOTED = 14

/** Words kept of a first fragment: a header with all options, and more than the 8 bytes that RFC 792 asks for. */
const QUOTE_WORDS = 32
export const QUOTE_BYTES = QUOTE_WORDS * 4

/** Owner of a datagram whose first fragment has not come. */
export const UNKNOWN_OWNER = -1
/** Owner of a datagram whose first fragment was dropped: its other fragments are dropped too. */
export const DROPPED_OWNER = -2
/** Owner of an echo request to the gateway itself: its other fragments go back to the sender, as the first did. */
export const ECHO_OWNER = -3
/** Owner of a datagram for a socket of this host, with that socket in place of a generation: its other fragments follow the first. */
export const HOST_OWNER = -5
/** Owner of a datagram whose fragments contradict one another. */
const OVERLAPPED_OWNER = -4

export class FragmentTable {
  readonly #held: HeldPackets
  readonly #timeout: number
  readonly #entries = new Int32Array(ENTRIES * WORDS)
  readonly #buckets = new Int32Array(BUCKETS).fill(NONE)
  readonly #units = new SeenUnits(ENTRIES)
  readonly #quotes = new Int32Array(ENTRIES * QUOTE_WORDS)
  readonly #seed: number
  /** One list of all entries. */
  readonly #age = new AgeLists(1, ENTRIES)
  readonly #shares = new AgeLists(SHARES, ENTRIES)
  /** Bytes held, by share. */
  readonly #shareBytes = new Int32Array(SHARES)
  #free = NONE
  #fresh = 0
  /** Told of each held fragment that is lost, with the drop code. */
  onLost: (drop: number) => void = () => {}

  /** @param timeout seconds a datagram may take; @param seed secret, against chosen collisions */
  constructor(held: HeldPackets, timeout: number, seed: number) {
    this.#held = held
    this.#timeout = timeout
    this.#seed = seed | 0
  }

  /** Datagrams of which fragments are known. */
  get count(): number {
    return this.#age.count(0)
  }

  /**
   * The entry of the fragment's datagram, made when there is none, with the fragment's bytes counted; -(drop code) for a
   * fragment that is to be dropped. The owner is UNKNOWN_OWNER until `setOwner`.
   */
  enter(view: DataView, packet: Packet, zone: number, now: number): number {
    const identity = (ipv4.identification(view, packet.at) << 16) | (zone << 8) | packet.protocol
    const bucket = this.#hash(packet.source, packet.destination, identity) & (BUCKETS - 1)
    const isFirst = packet.fragment === FIRST_FRAGMENT
    let entry = this.#find(bucket, packet.source, packet.destination, identity)
    if (entry !== NONE && isFirst && this.#isReused(entry, now)) {
      this.end(entry, Drop['fragment-expired'])
      entry = NONE
    }
    if (entry === NONE) {
      entry = this.#make(bucket, this.#hash(packet.source, zone, 0) & (SHARES - 1), now)
      const at = entry * WORDS
      this.#entries[at + SOURCE] = packet.source
      this.#entries[at + DESTINATION] = packet.destination
      this.#entries[at + IDENTITY] = identity
    }
    const drop = this.#place(view, packet, entry)
    if (drop !== 0) return -drop
    if (isFirst) this.#quote(view, packet, entry)
    return entry
  }

  owner(entry: number): number {
    return this.#entries[entry * WORDS + OWNER]!
  }

  generation(entry: number): number {
    return this.#entries[entry * WORDS + GENERATION]!
  }

  setOwner(entry: number, owner: number, generation: number): void {
    this.#entries[entry * WORDS + OWNER] = owner
    this.#entries[entry * WORDS + GENERATION] = generation
  }

  /** The ID that all fragments of the datagram leave with, or -1 for their own. */
  identification(entry: number): number {
    return this.#entries[entry * WORDS + IDENTIFICATION]!
  }

  setIdentification(entry: number, identification: number): void {
    this.#entries[entry * WORDS + IDENTIFICATION] = identification
  }

  /** The zone that the datagram arrives from. */
  zone(entry: number): number {
    return (this.#entries[entry * WORDS + IDENTITY]! >>> 8) & 0xff
  }

  /** Keeps a later fragment until the first comes; false when there is no room. */
  hold(entry: number, packet: Packet): boolean {
    const at = entry * WORDS
    const share = this.#entries[at + SHARE]!
    const { capacity, used } = this.#held
    const size = this.#held.sizeFor(packet.length)
    if (this.#shareBytes[share]! + size > Math.max(capacity - used, capacity / FAIR_PART)) return false
    const block = this.#held.hold(packet.at, packet.length, 0, 0)
    if (block === NO_BLOCK) return false
    this.#shareBytes[share]! += size
    this.#held.link(block, this.#entries[at + HELD]!)
    this.#entries[at + HELD] = block
    return true
  }

  /** Takes one held fragment off the entry: its block, to be released by the caller, or NO_BLOCK. */
  takeHeld(entry: number): number {
    const at = entry * WORDS
    const block = this.#entries[at + HELD]!
    if (block === NO_BLOCK) return NO_BLOCK
    this.#entries[at + HELD] = this.#held.next(block)
    this.#shareBytes[this.#entries[at + SHARE]!]! -= this.#held.sizeFor(this.#held.lengthOf(block))
    return block
  }

  /** Ends the entry if the whole datagram has passed. Call it after the fragment has been dealt with. */
  endIfComplete(entry: number): void {
    const at = entry * WORDS
    const total = this.#entries[at + TOTAL]!
    if (total >= 0 && this.#entries[at + RECEIVED]! >= total && this.#entries[at + HELD] === NO_BLOCK) this.end(entry, 0)
  }

  /** An entry whose time is over, or -1. The caller ends it. */
  overdue(now: number): number {
    const oldest = this.#age.oldest(0)
    return oldest !== NONE && this.#entries[oldest * WORDS + DEADLINE]! <= now ? oldest : NONE
  }

  /**
   * Writes what is kept of the datagram's first fragment at `to`, of at most QUOTE_BYTES, if its sender is to be told that
   * the others did not come in time. Returns the bytes written, 0 for a datagram whose first fragment did not come or that
   * was dropped for another reason.
   */
  writeQuote(view: DataView, to: number, entry: number): number {
    if (this.owner(entry) < 0 && this.owner(entry) !== ECHO_OWNER) return 0
    const length = this.#entries[entry * WORDS + QUOTED]!
    for (let word = 0; word * 4 < length; word++) view.setInt32(to + word * 4, this.#quotes[entry * QUOTE_WORDS + word]!)
    return length
  }

  /** Ends an entry. Fragments that it still holds are lost for the reason given. */
  end(entry: number, drop: number): void {
    const entries = this.#entries
    const at = entry * WORDS
    this.#lose(entry, drop)
    this.#units.clear(entry, (entries[at + REACH]! + 7) >>> 3)
    this.#age.remove(0, entry)
    this.#shares.remove(entries[at + SHARE]!, entry)
    const bucket = entries[at + BUCKET]!
    let before = NONE
    for (let other = this.#buckets[bucket]!; other !== entry; other = entries[other * WORDS + CHAIN]!) before = other
    if (before === NONE) this.#buckets[bucket] = entries[at + CHAIN]!
    else entries[before * WORDS + CHAIN] = entries[at + CHAIN]!
    entries[at + CHAIN] = this.#free
    this.#free = entry
  }

  #hash(source: number, destination: number, identity: number): number {
    let hash = Math.imul(source ^ this.#seed, 0x9e3779b1)
    hash = Math.imul((hash ^ (hash >>> 15)) + destination, 0x85ebca6b)
    hash = Math.imul((hash ^ (hash >>> 13)) + identity, 0xc2b2ae35)
    return hash ^ (hash >>> 16)
  }

  #find(bucket: number, source: number, destination: number, identity: number): number {
    const entries = this.#entries
    for (let entry = this.#buckets[bucket]!; entry !== NONE; entry = entries[entry * WORDS + CHAIN]!) {
      const at = entry * WORDS
      if (entries[at + IDENTITY] === identity && entries[at + SOURCE] === source && entries[at + DESTINATION] === destination) return entry
    }
    return NONE
  }

  /** A first fragment that comes now begins another datagram. */
  #isReused(entry: number, now: number): boolean {
    const at = entry * WORDS
    if (this.#entries[at + QUOTED] === 0 || this.#entries[at + OWNER] === OVERLAPPED_OWNER) return false
    return now - (this.#entries[at + DEADLINE]! - this.#timeout) > REUSE_SECONDS
  }

  #make(bucket: number, share: number, now: number): number {
    const room = ENTRIES - this.count
    if (this.#shares.count(share) >= Math.max(room, FAIR_ENTRIES)) this.end(this.#shares.oldest(share), Drop['fragment-limit'])
    else if (room === 0) this.end(this.#age.oldest(0), Drop['fragment-limit'])
    let entry = this.#free
    if (entry === NONE) entry = this.#fresh++
    else this.#free = this.#entries[entry * WORDS + CHAIN]!
    const at = entry * WORDS
    this.#entries[at + OWNER] = UNKNOWN_OWNER
    this.#entries[at + DEADLINE] = now + this.#timeout
    this.#entries[at + RECEIVED] = 0
    this.#entries[at + TOTAL] = -1
    this.#entries[at + REACH] = 0
    this.#entries[at + HELD] = NO_BLOCK
    this.#entries[at + IDENTIFICATION] = -1
    this.#entries[at + QUOTED] = 0
    this.#entries[at + BUCKET] = bucket
    this.#entries[at + CHAIN] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.#entries[at + SHARE] = share
    this.#age.append(0, entry)
    this.#shares.append(share, entry)
    return entry
  }

  /** Puts a fragment where it belongs in its datagram. Returns 0 or a drop code. */
  #place(view: DataView, packet: Packet, entry: number): number {
    const entries = this.#entries
    const at = entry * WORDS
    if (entries[at + OWNER] === OVERLAPPED_OWNER) return Drop['fragment-overlap']
    const offset = ipv4.fragmentOffset(view, packet.at)
    const payload = packet.length - packet.headerLength
    const end = offset + payload
    const isLast = !ipv4.moreFragments(view, packet.at)
    const total = entries[at + TOTAL]!
    const reach = entries[at + REACH]!
    const agrees = isLast ? end === total || (total < 0 && end >= reach) : end <= total || total < 0
    const seen = this.#units.compare(entry, offset >>> 3, (end + 7) >>> 3)
    // A last fragment of nothing new says that those before had not told where the datagram ends.
    if (agrees && seen === SEEN && !(isLast && total < 0)) return Drop['fragment-duplicate']
    if (!agrees || seen !== UNSEEN) {
      this.#lose(entry, Drop['fragment-overlap'])
      entries[at + OWNER] = OVERLAPPED_OWNER
      return Drop['fragment-overlap']
    }
    this.#units.mark(entry, offset >>> 3, (end + 7) >>> 3)
    entries[at + RECEIVED]! += payload
    entries[at + REACH] = Math.max(reach, end)
    if (isLast) entries[at + TOTAL] = end
    return 0
  }

  /** Keeps the beginning of a first fragment. */
  #quote(view: DataView, packet: Packet, entry: number): void {
    const words = Math.min(packet.length >>> 2, QUOTE_WORDS)
    for (let word = 0; word < words; word++) this.#quotes[entry * QUOTE_WORDS + word] = view.getInt32(packet.at + word * 4)
    this.#entries[entry * WORDS + QUOTED] = words * 4
  }

  /** Lets go of what an entry holds. */
  #lose(entry: number, drop: number): void {
    for (let block = this.takeHeld(entry); block !== NO_BLOCK; block = this.takeHeld(entry)) {
      this.#held.release(block)
      this.onLost(drop)
    }
  }
}
