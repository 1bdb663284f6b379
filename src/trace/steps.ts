/**
 * What a trace tells of a packet, step by step, in the order in which things happened. Plain data: the data plane makes it, in numbers;
 * the control plane puts it into words (control/trace-words.ts).
 *
 * Addresses are int32, interfaces are told by their zone (0 the LAN, 1 and on the WANs), marks are uint32.
 */
import type { HookName, Policy, TableName } from '../policy/model.js'
import type { RouteStep } from '../route/lookup.js'
import type { RouteError, RouteType } from '../route/types.js'
import type { PacketHeaders } from './headers.js'

/** The packet as it came. */
export interface PacketStep {
  readonly step: 'packet'
  readonly zone: number
  readonly mark: number
  readonly headers: PacketHeaders
}

/** The rules of a table begin. */
export interface TableStep { readonly step: 'table'; readonly table: TableName; readonly hook: HookName }

/** The test of a rule that failed first, by its name; of a match, the name of its module. */
export const FAILED_TESTS = ['source', 'destination', 'in-interface', 'out-interface', 'protocol', 'fragment'] as const

export interface RuleStep {
  readonly step: 'rule'
  readonly table: TableName
  readonly chain: string
  /** In its chain, from 1. */
  readonly number: number
  /** As in the model: finds the rule's words. */
  readonly id: number
  /** Null: all tests held, and the target was applied. */
  readonly failed: (typeof FAILED_TESTS)[number] | { readonly match: number; readonly module: string } | null
}

/** Rules that did not match and are not told one by one. */
export interface SkippedStep { readonly step: 'skipped'; readonly rules: number }

export interface PolicyStep { readonly step: 'policy'; readonly table: TableName; readonly chain: string; readonly policy: Policy }

/** A decision that the flow keeps was applied, without asking the rules again. */
export interface StoredStep { readonly step: 'stored'; readonly hook: HookName }

/** No flow has the packet's tuple. */
export interface NoFlowStep { readonly step: 'no-flow' }

/** The flow of the packet, with a copy of its record. */
export interface FlowStep {
  readonly step: 'flow'
  readonly isNew: boolean
  /** 0: the original direction; 1: the reply. */
  readonly direction: number
  readonly flow: number
  readonly capacity: number
  /** Both sides, and the flow's own words, as flow-table.ts has them. */
  readonly sides: Int32Array
  readonly words: Int32Array
  /** Second on the data plane's clock. */
  readonly now: number
}

/** What is to become of source or destination of a flow that is not opened, as when only asked. */
export interface TranslationStep {
  readonly step: 'translation'
  readonly what: 'source' | 'destination'
  /** int32; null: it stays. */
  readonly address: number | null
  /** Null: it stays if it is free, or one is chosen when the flow opens. */
  readonly port: number | null
}

export interface RoutingStep {
  readonly step: 'route'
  readonly source: number
  readonly destination: number
  /** Number of the interface that it came in by, as rules and routes have it. */
  readonly input: number
  readonly mark: number
  readonly tos: number
  readonly looked: readonly RouteStep[]
  readonly error: RouteError
  readonly type: RouteType
  readonly table: number
  /** Preference of the rule that decided, -1 when none did. */
  readonly preference: number
  /** Number of the interface, 0 without a way. */
  readonly device: number
  readonly gateway: number | null
}

/** A field of the headers, or a mark. */
export type ChangedField = keyof PacketHeaders | 'mark' | 'connmark'
export interface Change { readonly field: ChangedField; readonly from: number; readonly to: number }
export interface RewriteStep { readonly step: 'rewrite'; readonly changes: readonly Change[] }

/** The sender is told: by an ICMP message, or by a RST. */
export interface AnswerStep {
  readonly step: 'answer'
  readonly kind: 'icmp' | 'tcp-reset'
  readonly type: number
  readonly code: number
}

/** A rule of OUTPUT or POSTROUTING drops what the sender was to be told. */
export interface AnswerDroppedStep { readonly step: 'answer-dropped' }

export interface DropStep { readonly step: 'drop'; readonly code: number }
/** It went out. `nextHop` null: to its destination, or where nobody has to be found. */
export interface SentStep { readonly step: 'sent'; readonly zone: number; readonly nextHop: number | null }
/** It waits until its next hop has answered. */
export interface HeldStep { readonly step: 'held'; readonly zone: number; readonly nextHop: number | null }
/** It waits for the first fragment of its datagram. */
export interface FragmentStep { readonly step: 'fragment-held' }
/** A socket of the gateway's own. Addresses are int32. */
export interface SocketWords {
  readonly row: number
  readonly localAddress: number
  readonly localPort: number
  readonly remoteAddress: number
  readonly remotePort: number
  readonly isConnected: boolean
  readonly isTransparent: boolean
}

/** TPROXY gave it to a socket, which gets it if routes lead here. */
export interface TproxyStep { readonly step: 'tproxy'; readonly socket: SocketWords }
/** It is for the gateway itself. `socket` null: no socket of its own. */
export interface LocalStep { readonly step: 'local'; readonly socket: SocketWords | null }

export type TraceStep =
  | PacketStep | TableStep | RuleStep | SkippedStep | PolicyStep | StoredStep | NoFlowStep | FlowStep | TranslationStep | RoutingStep | RewriteStep
  | AnswerStep | AnswerDroppedStep | DropStep | SentStep | HeldStep | FragmentStep | TproxyStep | LocalStep

/** One packet. */
export interface Trace {
  /** Milliseconds on the data plane's clock. */
  readonly time: number
  readonly steps: readonly TraceStep[]
}
