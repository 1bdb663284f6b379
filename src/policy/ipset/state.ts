/**
 * Sets as the control plane knows them: names, options and elements, as plain immutable objects. An edit makes a new state
 * that shares what did not change.
 *
 * The data plane also adds and removes elements, and counts packets. What it has is taken over by `takeElements` and
 * `takeMembers` (sync.ts) before a command that needs it; without counters and without rules that write into the set,
 * nothing has to be taken over, since both sides let elements expire by themselves.
 */
import type { ElementKind, LIST_KIND } from '../sets/edits.js'

interface CommonOptions {
  /** Seconds, 0: for ever; null: without timeouts. */
  readonly timeout: number | null
  readonly counters: boolean
  readonly comment: boolean
}

export interface HashOptions extends CommonOptions {
  /** Power of two, at least 64. */
  readonly hashSize: number
  readonly maxElements: number
  /** At most one of these two, for kinds that start with a host's address. */
  readonly netmask: number | null
  /** int32 */
  readonly bitmask: number | null
  readonly forceAdd: boolean
  /** Has no meaning here, and is kept for those who read it: 2 to 12. */
  readonly bucketSize: number
  /** Seed of the hash, 0 to 4294967295. */
  readonly initval: number
}

export interface ListOptions extends CommonOptions {
  /** Has no meaning, as in the kernel. */
  readonly size: number
}

interface Extensions {
  /** Milliseconds on the clock, 0: never. */
  readonly expires: number
  readonly packets: number
  readonly bytes: number
  readonly comment: string | null
}

export interface SetElement extends Extensions {
  /** int32, masked. */
  readonly address: number
  /** Prefix length of nets, `protocol << 16 | port` of sets with ports, else 0. */
  readonly part: number
  readonly interface: string
  readonly physdev: boolean
  readonly wildcard: boolean
  readonly nomatch: boolean
}

export interface MemberElement extends Extensions {
  /** Of a set that is no list. */
  readonly name: string
}

export interface ElementSet {
  /** 0 to 255, the same as long as the set exists; those that are free are given out again, lowest first. */
  readonly id: number
  readonly name: string
  readonly kind: ElementKind
  readonly options: HashOptions
  /** By their text. Expired ones may still be there. */
  readonly elements: ReadonlyMap<string, SetElement>
}

export interface ListSet {
  readonly id: number
  readonly name: string
  readonly kind: typeof LIST_KIND
  readonly options: ListOptions
  readonly members: readonly MemberElement[]
}

export type NamedSet = ElementSet | ListSet

export interface SetsState {
  readonly sets: ReadonlyMap<string, NamedSet>
}

export const NO_SETS: SetsState = { sets: new Map() }

export const isLive = ({ expires }: { readonly expires: number }, now: number): boolean => expires === 0 || expires > now

/** What is left of a timeout in whole seconds, as it is listed: 0 stands for ever, so the last second counts as one. */
export const secondsLeft = (expires: number, now: number): number => (expires === 0 ? 0 : Math.max(1, Math.floor((expires - now) / 1000)))
