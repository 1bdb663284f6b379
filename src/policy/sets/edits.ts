/**
 * Sets of ipset between the control plane, which has their names and reads their words, and the data plane, which looks
 * packets up in them. All of it is plain JSON. A set goes by its id: a small number, free again once the set is destroyed.
 */

/** Kinds of sets that hold elements of packets. */
export const ELEMENT_KINDS = ['hash:ip', 'hash:net', 'hash:ip,port', 'hash:net,iface'] as const
export type ElementKind = (typeof ELEMENT_KINDS)[number]
/** A set of sets: a packet is in it when it is in one of its members. */
export const LIST_KIND = 'list:set'
export type SetKind = ElementKind | typeof LIST_KIND

/** Parts of an element, as many as a rule must give directions for. */
export const DIMENSIONS: Readonly<Record<SetKind, number>> = {
  'hash:ip': 1, 'hash:net': 1, 'hash:ip,port': 2, 'hash:net,iface': 2, 'list:set': 1,
}

/** Sets that there can be at a time, as in the kernel by default. */
export const SETS_MAX = 256
/** Elements that one set can hold at most, whatever its `maxelem` says. */
export const ELEMENTS_MAX = 1 << 23

interface Extensions {
  /** Seconds that an element stays unless it says otherwise, 0: for ever; null: elements have no timeout. */
  readonly timeout: number | null
  readonly counters: boolean
}

export interface ElementSetDefinition extends Extensions {
  readonly kind: ElementKind
  /** 0 to 4294967295 */
  readonly maxElements: number
  /** Slots of the index to begin with, a power of two. */
  readonly hashSize: number
  /** Seed of the hash, 32 bits. */
  readonly seed: number
  /** Bits of an address that count in `hash:ip` and `hash:ip,port`, int32; -1 elsewhere. */
  readonly mask: number
  /** Whether a new element of a full set takes the place of another. */
  readonly forceAdd: boolean
}

export interface ListDefinition extends Extensions {
  readonly kind: typeof LIST_KIND
}

export type SetDefinition = ElementSetDefinition | ListDefinition

/**
 * The second word of an element.
 *
 * - `hash:ip`: 0
 * - `hash:ip,port`: the protocol from bit 16 on, the port below; of ICMP, type and code stand for the port
 * - `hash:net`: the prefix length in the low six bits, and NOMATCH
 * - `hash:net,iface`: the same, PHYSDEV, WILDCARD, and from bit 16 on the number of the interface's name
 */
export const PREFIX_BITS = 0x3f
/** Addresses of this network are not in the set, unless a longer prefix says so. */
export const NOMATCH = 0x40
/** The interface is a port of a bridge. */
export const PHYSDEV = 0x80
/** The name of the interface is the beginning of names. */
export const WILDCARD = 0x100
export const INTERFACE_SHIFT = 16

/** Elements, column by column. */
export interface ElementColumns {
  readonly addresses: number[]
  /** Second words; with interfaces, their number is an index of `interfaces`. */
  readonly parts: number[]
  readonly interfaces: string[]
  /** Time left, 0: for ever. Null when the set has no timeouts. */
  readonly milliseconds: number[] | null
  /** -1 keeps what the element has, and is 0 for a new one. Null when the set has no counters. */
  readonly packets: number[] | null
  readonly bytes: number[] | null
}

export interface ListMember {
  readonly id: number
  /** Time left, 0: for ever. */
  readonly milliseconds: number
  readonly packets: number
  readonly bytes: number
}

export type SetEdit =
  | { readonly op: 'create'; readonly id: number; readonly definition: SetDefinition }
  | { readonly op: 'destroy'; readonly id: number }
  | { readonly op: 'flush'; readonly id: number }
  /** What one of them holds, the other holds from then on. */
  | { readonly op: 'swap'; readonly first: number; readonly second: number }
  /** Elements that are there already get the new timeout, flags and counters. */
  | { readonly op: 'add'; readonly id: number; readonly elements: ElementColumns }
  /** Timeouts and counters do not count. */
  | { readonly op: 'remove'; readonly id: number; readonly elements: ElementColumns }
  /** All members of a list, in order. */
  | { readonly op: 'members'; readonly id: number; readonly members: readonly ListMember[] }

/** Some elements of a set as they are in the data plane. */
export interface SetPage {
  readonly elements: ElementColumns
  /** Where the next page begins; -1 when this was the last. */
  readonly next: number
}

export const emptyColumns = ({ timeout, counters }: Extensions): ElementColumns => ({
  addresses: [], parts: [], interfaces: [],
  milliseconds: timeout === null ? null : [],
  packets: counters ? [] : null,
  bytes: counters ? [] : null,
})
