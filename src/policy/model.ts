/**
 * Rules, chains and tables as plain JSON, in the kernel's vocabulary. Shared by what reads and prints text, by the control plane
 * and by what compiles rules for the data plane; it has no behaviour.
 *
 * Addresses and their masks are signed int32 in host order. Marks and other 32-bit values are unsigned (0..4294967295).
 * `not` inverts the test beside it. A test that is not made is null. Everything is immutable: an edit makes a new ruleset that
 * shares what did not change, so `===` on a table, chain, rule or spec tells "the same".
 */

export const TABLE_NAMES = ['raw', 'mangle', 'nat', 'filter'] as const
export type TableName = (typeof TABLE_NAMES)[number]

export const HOOK_NAMES = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const
/** The hooks are also the names of the built-in chains. */
export type HookName = (typeof HOOK_NAMES)[number]

/** The built-in chains of each table, in the order in which they are listed. */
export const BUILT_IN_CHAINS: Readonly<Record<TableName, readonly HookName[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
}

/** A rule set: what `iptables-save` of all tables says. A table that nobody touched is empty. */
export interface Ruleset {
  /** The next id for a rule or chain. */
  readonly nextId: number
  readonly tables: Readonly<Record<TableName, Table>>
}

export interface Table {
  readonly name: TableName
  /** Built-in chains as in `BUILT_IN_CHAINS`, then user chains in the order of their names' bytes. */
  readonly chains: readonly Chain[]
}

export type Policy = 'ACCEPT' | 'DROP'

export interface Chain {
  /** See `Rule.id`. Counters of a chain are those of its policy. */
  readonly id: number
  readonly name: string
  /** Null for a user chain. */
  readonly policy: Policy | null
  readonly packets: number
  readonly bytes: number
  readonly rules: readonly Rule[]
}

export interface Rule {
  /**
   * Names this rule's counters, in all rule sets that come from one another by edits. As long as the id is the same, counting
   * goes on; a rule that starts from other counters (added, zeroed, restored) has a new id, and starts from `packets`, `bytes`.
   */
  readonly id: number
  readonly packets: number
  readonly bytes: number
  readonly spec: RuleSpec
}

/** What a rule says. Its tests are all made, in the order here; when all hold, the target is applied. */
export interface RuleSpec {
  readonly source: AddressTest | null
  readonly destination: AddressTest | null
  readonly inInterface: InterfaceTest | null
  readonly outInterface: InterfaceTest | null
  readonly protocol: ProtocolTest | null
  readonly fragment: FragmentTest | null
  readonly matches: readonly Match[]
  /** Null: the rule only counts. */
  readonly target: Target | null
}

/** `address` is masked already; the mask may have holes. */
export interface AddressTest { readonly address: number; readonly mask: number; readonly not: boolean }
/** Up to 15 bytes. With `wildcard`, the name is a prefix (`eth+`), at least one byte long. */
export interface InterfaceTest { readonly name: string; readonly wildcard: boolean; readonly not: boolean }
/** 1..255; 0 ("all") is no test. */
export interface ProtocolTest { readonly number: number; readonly not: boolean }
/** Second and further fragments; with `not`, heads and whole packets. */
export interface FragmentTest { readonly not: boolean }

/** Inclusive. */
export interface Range { readonly first: number; readonly last: number }
export interface RangeTest extends Range { readonly not: boolean }
export interface BitsTest { readonly bits: number; readonly not: boolean }
export interface MaskedTest { readonly value: number; readonly mask: number; readonly not: boolean }

// Matches

/** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32. */
export const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'] as const

export interface TcpMatch {
  readonly module: 'tcp'
  readonly source: RangeTest | null
  readonly destination: RangeTest | null
  /** 1..255 */
  readonly option: { readonly number: number; readonly not: boolean } | null
  /** Holds when `flags & mask === value`. */
  readonly flags: MaskedTest | null
}
export interface UdpMatch { readonly module: 'udp'; readonly source: RangeTest | null; readonly destination: RangeTest | null }
/** `type` null: any type; `code` null: any code. */
export interface IcmpMatch { readonly module: 'icmp'; readonly type: number | null; readonly code: number | null; readonly not: boolean }
export interface MultiportMatch {
  readonly module: 'multiport'
  readonly direction: 'source' | 'destination' | 'either'
  readonly ports: readonly Range[]
  readonly not: boolean
}

export const STATE = { INVALID: 1, NEW: 8, RELATED: 4, ESTABLISHED: 2, UNTRACKED: 256, SNAT: 64, DNAT: 128 } as const
export const STATUS = { EXPECTED: 1, SEEN_REPLY: 2, ASSURED: 4, CONFIRMED: 8 } as const

export interface ConntrackMatch {
  readonly module: 'conntrack'
  /** Bits of STATE. */
  readonly state: BitsTest | null
  readonly protocol: ProtocolTest | null
  readonly originalSource: AddressTest | null
  readonly originalDestination: AddressTest | null
  readonly replySource: AddressTest | null
  readonly replyDestination: AddressTest | null
  readonly originalSourcePort: RangeTest | null
  readonly originalDestinationPort: RangeTest | null
  readonly replySourcePort: RangeTest | null
  readonly replyDestinationPort: RangeTest | null
  /** Bits of STATUS; none of them stands for NONE. */
  readonly status: BitsTest | null
  /** Seconds until the flow expires. */
  readonly expire: RangeTest | null
  readonly direction: 'ORIGINAL' | 'REPLY' | null
}
export interface StateMatch extends BitsTest { readonly module: 'state' }
/** Holds when `mark & mask === value`. */
export interface MarkMatch extends MaskedTest { readonly module: 'mark' }
export interface ConnmarkMatch extends MaskedTest { readonly module: 'connmark' }

export type SetDirection = 'src' | 'dst'
export interface CounterTest { readonly compare: 'eq' | 'lt' | 'gt'; readonly value: number; readonly not: boolean }
export interface SetMatch {
  readonly module: 'set'
  readonly name: string
  /** One for each part of the set's elements, 1 to 6. */
  readonly directions: readonly SetDirection[]
  readonly not: boolean
  readonly returnNoMatch: boolean
  readonly updateCounters: boolean
  readonly updateSubcounters: boolean
  readonly packets: CounterTest | null
  readonly bytes: CounterTest | null
}

/** A token bucket: `period` is the time for a packet in 1/10000 s (at least 1), `burst` the size in packets. */
export interface LimitMatch { readonly module: 'limit'; readonly period: number; readonly burst: number }

/** SRCIP 2, SRCPORT 8, DSTIP 1, DSTPORT 4: what flows are told apart by; none: one bucket for all. */
export const HASHLIMIT_MODE = { srcip: 2, srcport: 8, dstip: 1, dstport: 4 } as const
export interface HashlimitMatch {
  readonly module: 'hashlimit'
  /** Holds above the rate; else up to it. */
  readonly above: boolean
  readonly rate:
    /** `period`: microseconds for a packet; `burst` in packets. */
    | { readonly unit: 'packets'; readonly period: number; readonly burst: number }
    /** Bytes a second, and the burst in bytes if one was given. */
    | { readonly unit: 'bytes'; readonly bytes: number; readonly burst: number | null }
  /** Bits of HASHLIMIT_MODE. */
  readonly mode: number
  readonly name: string
  /** Prefix lengths that addresses are cut to, 0..32. */
  readonly sourcePrefix: number
  readonly destinationPrefix: number
  readonly tableSize: number | null
  readonly tableMax: number | null
  /** Milliseconds. */
  readonly collectInterval: number | null
  /** Milliseconds without a packet after which a bucket is forgotten; null: as the rate asks. */
  readonly expire: number | null
  /** The rate is measured over `rateInterval` seconds instead of by a bucket. */
  readonly rateMatch: boolean
  readonly rateInterval: number
}
export interface ConnlimitMatch {
  readonly module: 'connlimit'
  /** Holds above the limit; else up to it. */
  readonly above: boolean
  readonly limit: number
  /** Length of the prefix that is counted, 0..32. */
  readonly prefix: number
  readonly by: 'source' | 'destination'
}
/** Total length of the IPv4 packet. */
export interface LengthMatch extends RangeTest { readonly module: 'length' }
export interface TtlMatch { readonly module: 'ttl'; readonly compare: 'eq' | 'ne' | 'lt' | 'gt'; readonly value: number }
/** Holds when `tos & mask === value`. */
export interface TosMatch extends MaskedTest { readonly module: 'tos' }
/** 0..63 */
export interface DscpMatch { readonly module: 'dscp'; readonly value: number; readonly not: boolean }

/** In the order of their bits, from 1. */
export const ADDRESS_TYPES = [
  'UNSPEC', 'UNICAST', 'LOCAL', 'BROADCAST', 'ANYCAST', 'MULTICAST', 'BLACKHOLE', 'UNREACHABLE', 'PROHIBIT', 'THROW', 'NAT', 'XRESOLVE',
] as const
export interface AddrtypeMatch {
  readonly module: 'addrtype'
  /** Bits by ADDRESS_TYPES. */
  readonly source: BitsTest | null
  readonly destination: BitsTest | null
  /** Only the addresses of this interface count as local. */
  readonly limit: 'in' | 'out' | null
}
export interface SocketMatch {
  readonly module: 'socket'
  readonly transparent: boolean
  readonly noWildcard: boolean
  readonly restoreMark: boolean
}
export interface TimeMatch {
  readonly module: 'time'
  /** Seconds since 1970, 0..2147483647. */
  readonly dateStart: number
  readonly dateStop: number
  /** Seconds of the day, 0..86399. `dayStart` may be after `dayStop`: over midnight. */
  readonly dayStart: number
  readonly dayStop: number
  /** Bit n for day n, 1..31. */
  readonly monthDays: number
  /** Bit n for day n: 1 is Monday, 7 Sunday. */
  readonly weekDays: number
  readonly contiguous: boolean
  /** In the system's time zone instead of UTC. */
  readonly localZone: boolean
}
export type StatisticMatch =
  /** `probability` in 1/2147483648, 0..2147483648. */
  | { readonly module: 'statistic'; readonly mode: 'random'; readonly probability: number; readonly not: boolean }
  /** Every `every`th packet, beginning with packet `packet` (0..every - 1). */
  | { readonly module: 'statistic'; readonly mode: 'nth'; readonly every: number; readonly packet: number; readonly not: boolean }
export interface CommentMatch { readonly module: 'comment'; readonly text: string }
/** Addresses, compared as unsigned. */
export interface IprangeMatch { readonly module: 'iprange'; readonly source: RangeTest | null; readonly destination: RangeTest | null }
/** The maximum segment size that a SYN announces. */
export interface TcpmssMatch extends RangeTest { readonly module: 'tcpmss' }

export type Match =
  | TcpMatch | UdpMatch | IcmpMatch | MultiportMatch | ConntrackMatch | StateMatch | MarkMatch | ConnmarkMatch | SetMatch | LimitMatch
  | HashlimitMatch | ConnlimitMatch | LengthMatch | TtlMatch | TosMatch | DscpMatch | AddrtypeMatch | SocketMatch | TimeMatch
  | StatisticMatch | CommentMatch | IprangeMatch | TcpmssMatch
export type MatchName = Match['module']
export type MatchOf<Name extends MatchName> = Extract<Match, { readonly module: Name }>

// Targets

export interface AcceptTarget { readonly kind: 'ACCEPT' }
export interface DropTarget { readonly kind: 'DROP' }
export interface ReturnTarget { readonly kind: 'RETURN' }
export interface JumpTarget { readonly kind: 'jump'; readonly chain: string }
/** Like a jump, but the end of the chain goes back to where the last jump came from. */
export interface GotoTarget { readonly kind: 'goto'; readonly chain: string }

export const REJECT_KINDS = [
  'icmp-net-unreachable', 'icmp-host-unreachable', 'icmp-port-unreachable', 'icmp-proto-unreachable', 'icmp-net-prohibited',
  'icmp-host-prohibited', 'icmp-admin-prohibited', 'tcp-reset',
] as const
export type RejectKind = (typeof REJECT_KINDS)[number]
export interface RejectTarget { readonly kind: 'REJECT'; readonly with: RejectKind }

/** In the order of their bits, from 1. */
export const LOG_FLAGS = ['tcp-sequence', 'tcp-options', 'ip-options', 'uid', 'nflog', 'macdecode'] as const
export interface LogTarget {
  readonly kind: 'LOG'
  /** 0 (emerg) to 7 (debug). */
  readonly level: number
  /** Up to 29 bytes. */
  readonly prefix: string
  /** Bits by LOG_FLAGS. */
  readonly flags: number
}
export interface NflogTarget {
  readonly kind: 'NFLOG'
  readonly group: number
  /** Up to 63 bytes. */
  readonly prefix: string
  /** Bytes of the packet to copy; null: all. */
  readonly size: number | null
  /** Old form of `size`, which the kernel takes and does not apply. */
  readonly range: number | null
  /** Packets to collect before they are handed on. */
  readonly threshold: number | null
}
/** mark := (mark & ~mask) ^ value */
export interface MarkTarget { readonly kind: 'MARK'; readonly value: number; readonly mask: number }
export type ConnmarkTarget =
  /** ctmark := (ctmark & ~mask) ^ value */
  | { readonly kind: 'CONNMARK'; readonly operation: 'set'; readonly value: number; readonly mask: number }
  /** ctmark := (ctmark & ~ctMask) ^ (mark & nfMask) */
  | { readonly kind: 'CONNMARK'; readonly operation: 'save'; readonly ctMask: number; readonly nfMask: number }
  /** mark := (mark & ~nfMask) ^ (ctmark & ctMask) */
  | { readonly kind: 'CONNMARK'; readonly operation: 'restore'; readonly ctMask: number; readonly nfMask: number }
/** tos := (tos & ~mask) ^ value */
export interface TosTarget { readonly kind: 'TOS'; readonly value: number; readonly mask: number }
export interface DscpTarget { readonly kind: 'DSCP'; readonly value: number }
export interface TtlTarget { readonly kind: 'TTL'; readonly operation: 'set' | 'inc' | 'dec'; readonly value: number }
/** `size` null: clamp to the path's MTU. */
export interface TcpmssTarget { readonly kind: 'TCPMSS'; readonly size: number | null }
export interface NotrackTarget { readonly kind: 'NOTRACK' }
export interface CtTarget { readonly kind: 'CT'; readonly notrack: boolean }

export interface SnatTarget {
  readonly kind: 'SNAT'
  /** Null when only ports are given. Addresses compare as unsigned. */
  readonly addresses: Range | null
  readonly ports: Range | null
  readonly random: boolean
  readonly randomFully: boolean
  readonly persistent: boolean
}
export interface DnatTarget {
  readonly kind: 'DNAT'
  readonly addresses: Range | null
  readonly ports: Range | null
  /** With it, port p goes to `ports.first + p - base`, within `ports`. */
  readonly base: number | null
  readonly random: boolean
  readonly persistent: boolean
}
export interface MasqueradeTarget {
  readonly kind: 'MASQUERADE'
  readonly ports: Range | null
  readonly random: boolean
  readonly randomFully: boolean
}
export interface RedirectTarget { readonly kind: 'REDIRECT'; readonly ports: Range | null; readonly random: boolean }
/** The mask has no holes. */
export interface NetmapTarget { readonly kind: 'NETMAP'; readonly address: number; readonly mask: number }
/** `port` 0: the packet's own; `address` 0: that of the interface it came in by. mark := (mark & ~mask) ^ value. */
export interface TproxyTarget {
  readonly kind: 'TPROXY'
  readonly port: number
  readonly address: number
  readonly value: number
  readonly mask: number
}
export interface SetReference { readonly name: string; readonly directions: readonly SetDirection[] }
export interface SetTarget {
  readonly kind: 'SET'
  readonly add: SetReference | null
  readonly remove: SetReference | null
  /** An element that is there already gets the timeout anew. */
  readonly exist: boolean
  /** Seconds; null: the set's own. */
  readonly timeout: number | null
}
export interface SynproxyTarget {
  readonly kind: 'SYNPROXY'
  readonly sackPermitted: boolean
  readonly timestamp: boolean
  readonly windowScale: number | null
  readonly mss: number | null
  readonly ecn: boolean
}

export type Target =
  | AcceptTarget | DropTarget | ReturnTarget | JumpTarget | GotoTarget | RejectTarget | LogTarget | NflogTarget | MarkTarget
  | ConnmarkTarget | TosTarget | DscpTarget | TtlTarget | TcpmssTarget | NotrackTarget | CtTarget | SnatTarget | DnatTarget
  | MasqueradeTarget | RedirectTarget | NetmapTarget | TproxyTarget | SetTarget | SynproxyTarget
export type TargetName = Target['kind']
export type TargetOf<Name extends TargetName> = Extract<Target, { readonly kind: Name }>
