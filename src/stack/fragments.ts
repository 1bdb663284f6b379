/**
 * Fragments in transit: which flow does a fragment without transport header belong to?
 *
 * Theory of operation
 *
 * A datagram is known by (source, destination, protocol, ID, zone). When its first fragment has been translated, what it
 * belongs to (a flow's side and generation, opaque here) is remembered, and later fragments follow it at once. Later
 * fragments that come before the first are held and let go by it. Nothing is reassembled: a fragment leaves as it came.
 *
 * An entry ends when as many payload bytes have passed as the last fragment says there are, or at its deadline, fixed at the
 * arrival of the datagram's first-seen fragment (RFC 1122 3.3.2 recommends not to extend it). Entries are bounded; when all
 * are in use the oldest gives way, so that a flood of half datagrams cannot stop those that come in order (RFC 4787 REQ-14).
 */
import type { HeldPackets } from './held.js'
import { NO_BLOCK } from './held.js'
import { FIRST_FRAGMENT, type Packet } from './parse.js'
import * as ipv4 from './wire/ipv4.js'

const ENTRIES = 2048
const BUCKETS = 4096
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
const OLDER = 10
const NEWER = 11
const BUCKET = 12

/** Owner of a datagram whose first fragment has not come. */
export const UNKNOWN_OWNER = -1
/** Owner of a datagram whose first fragment was dropped: its other fragments are dropped too. */
export const DROPPED_OWNER = -2
/** Owner of an echo request to the gateway itself: its other fragments go back to the sender, as the first did. */
export const ECHO_OWNER = -3

export class FragmentTable {
  readonly #held: HeldPackets
  readonly #timeout: number
  readonly #entries = new Int32Array(ENTRIES * WORDS)
  readonly #buckets = new Int32Array(BUCKETS).fill(NONE)
  readonly #seed: number
  #free = NONE
  #fresh = 0
  #oldest = NONE
  #newest = NONE
  /** Held fragments lost because their entry ended; read and reset by the caller. */
  lost = 0

  /** @param timeout seconds a datagram may take; @param seed secret, against chosen collisions */
  constructor(held: HeldPackets, timeout: number, seed: number) {
    this.#held = held
    this.#timeout = timeout
    this.#seed = seed | 0
  }

  /**
   * The entry of the fragment's datagram, made when there is none, with the fragment's bytes counted. A second first fragment
   * begins a new datagram: senders use IDs again, before the deadline of one that lost a fragment (RFC 4963).
   * The owner is UNKNOWN_OWNER until `setOwner`.
   */
  enter(view: DataView, packet: Packet, zone: number, now: number): number {
    const identity = (ipv4.identification(view, packet.at) << 16) | (zone << 8) | packet.protocol
    const bucket = this.#bucketOf(packet.source, packet.destination, identity)
    let entry = this.#find(bucket, packet.source, packet.destination, identity)
    if (entry !== NONE && packet.fragment === FIRST_FRAGMENT && this.owner(entry) !== UNKNOWN_OWNER) {
      this.#end(entry)
      entry = NONE
    }
    if (entry === NONE) {
      entry = this.#make(bucket, now)
      const at = entry * WORDS
      this.#entries[at + SOURCE] = packet.source
      this.#entries[at + DESTINATION] = packet.destination
      this.#entries[at + IDENTITY] = identity
    }
    const at = entry * WORDS
    const payload = packet.length - packet.headerLength
    this.#entries[at + RECEIVED]! += payload
    if (!ipv4.moreFragments(view, packet.at)) this.#entries[at + TOTAL] = ipv4.fragmentOffset(view, packet.at) + payload
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

  /** Keeps a later fragment until the first comes; false when there is no room. */
  hold(entry: number, packet: Packet): boolean {
    const block = this.#held.hold(packet.at, packet.length, 0, 0)
    if (block === NO_BLOCK) return false
    this.#held.link(block, this.#entries[entry * WORDS + HELD]!)
    this.#entries[entry * WORDS + HELD] = block
    return true
  }

  /** Takes one held fragment off the entry: its block, to be released by the caller, or NO_BLOCK. */
  takeHeld(entry: number): number {
    const block = this.#entries[entry * WORDS + HELD]!
    if (block !== NO_BLOCK) this.#entries[entry * WORDS + HELD] = this.#held.next(block)
    return block
  }

  /** Ends the entry if the whole datagram has passed. Call it after the fragment has been dealt with. */
  endIfComplete(entry: number): void {
    const at = entry * WORDS
    const total = this.#entries[at + TOTAL]!
    if (total >= 0 && this.#entries[at + RECEIVED]! >= total && this.#entries[at + HELD] === NO_BLOCK) this.#end(entry)
  }

  /** Ends entries whose time is over. */
  expire(now: number): void {
    while (this.#oldest !== NONE && this.#entries[this.#oldest * WORDS + DEADLINE]! <= now) this.#end(this.#oldest)
  }

  #bucketOf(source: number, destination: number, identity: number): number {
    const hash = Math.imul(Math.imul(source ^ this.#seed, 0x9e3779b1) ^ destination, 0x85ebca6b) ^ Math.imul(identity, 0xc2b2ae35)
    return (hash ^ (hash >>> 15)) & (BUCKETS - 1)
  }

  #find(bucket: number, source: number, destination: number, identity: number): number {
    const entries = this.#entries
    for (let entry = this.#buckets[bucket]!; entry !== NONE; entry = entries[entry * WORDS + CHAIN]!) {
      const at = entry * WORDS
      if (entries[at + IDENTITY] === identity && entries[at + SOURCE] === source && entries[at + DESTINATION] === destination) return entry
    }
    return NONE
  }

  #make(bucket: number, now: number): number {
    if (this.#free === NONE && this.#fresh === ENTRIES) this.#end(this.#oldest)
    let entry = this.#free
    if (entry === NONE) entry = this.#fresh++
    else this.#free = this.#entries[entry * WORDS + CHAIN]!
    const at = entry * WORDS
    this.#entries[at + OWNER] = UNKNOWN_OWNER
    this.#entries[at + DEADLINE] = now + this.#timeout
    this.#entries[at + RECEIVED] = 0
    this.#entries[at + TOTAL] = -1
    this.#entries[at + HELD] = NO_BLOCK
    this.#entries[at + BUCKET] = bucket
    this.#entries[at + CHAIN] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.#entries[at + OLDER] = this.#newest
    this.#entries[at + NEWER] = NONE
    if (this.#newest === NONE) this.#oldest = entry
    else this.#entries[this.#newest * WORDS + NEWER] = entry
    this.#newest = entry
    return entry
  }

  #end(entry: number): void {
    const entries = this.#entries
    const at = entry * WORDS
    for (let block = this.takeHeld(entry); block !== NO_BLOCK; block = this.takeHeld(entry)) {
      this.#held.release(block)
      this.lost++
    }
    const bucket = entries[at + BUCKET]!
    let before = NONE
    for (let other = this.#buckets[bucket]!; other !== entry; other = entries[other * WORDS + CHAIN]!) before = other
    if (before === NONE) this.#buckets[bucket] = entries[at + CHAIN]!
    else entries[before * WORDS + CHAIN] = entries[at + CHAIN]!
    const older = entries[at + OLDER]!
    const newer = entries[at + NEWER]!
    if (older === NONE) this.#oldest = newer
    else entries[older * WORDS + NEWER] = newer
    if (newer === NONE) this.#newest = older
    else entries[newer * WORDS + OLDER] = older
    entries[at + CHAIN] = this.#free
    this.#free = entry
  }
}
