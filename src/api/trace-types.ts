/** Traces as the control socket tells them: plain JSON, in words. The command line prints them. */
import type { FlowRecord } from './types.js'

export interface TracedPacket {
  step: 'packet'
  /** The interface by which it came. */
  interface: string
  src: string
  dst: string
  /** Name (tcp, udp, icmp, …) or number. */
  protocol: string
  sport?: number
  dport?: number
  /** SYN, ACK, … */
  flags?: string[]
  type?: number
  code?: number
  id?: number
  /** Bytes of the IPv4 datagram. */
  length: number
  ttl: number
  tos: number
  mark?: number
  /** Bytes before it in its datagram, and whether more follow; absent for a whole one. */
  fragment?: { offset: number; more: boolean }
}

export interface TracedRule {
  step: 'rule'
  table: string
  chain: string
  /** In its chain, from 1. */
  number: number
  /** As iptables-save prints it, without `-A CHAIN`; null when the rule is gone by now. */
  rule: string | null
  matched: boolean
  /** The test that failed first. */
  failed?: string
}

export interface TracedRoute {
  step: 'route'
  src: string
  dst: string
  /** The interface by which the packet came. */
  iif: string
  mark?: number
  tos?: number
  /** Rules and routes that were looked at, in the words of `ip`, a line each. */
  looked: string[]
  /** Why there is no way; absent when there is one. */
  error?: 'net-unreachable' | 'host-unreachable' | 'prohibited' | 'blackhole'
  /** unicast, local, blackhole, … */
  type: string
  table?: string
  /** Preference of the rule that decided. */
  pref?: number
  dev?: string
  via?: string
}

/** A socket of tsnat's own: `address:port`, `*` for any address. */
export interface TracedSocket { local: string; remote?: string; transparent: boolean }

export type TracedStep =
  | TracedPacket
  | { step: 'table'; table: string; hook: string }
  | TracedRule
  /** So many rules did not match, and are not listed. */
  | { step: 'skipped'; rules: number }
  | { step: 'policy'; table: string; chain: string; policy: string }
  /** What was decided for the flow before was applied; the rules were not asked again. */
  | { step: 'stored'; hook: string }
  | { step: 'no-flow' }
  | { step: 'flow'; new: boolean; direction: 'original' | 'reply'; flow: FlowRecord | null }
  /** What a flow would be opened with; an address or port that is absent stays, or is chosen then. */
  | { step: 'translation'; what: 'source' | 'destination'; address?: string; port?: number }
  | TracedRoute
  | { step: 'rewrite'; changes: { field: string; from: string | number; to: string | number }[] }
  | { step: 'answer'; kind: 'icmp'; type: number; code: number; name: string }
  | { step: 'answer'; kind: 'tcp-reset' }
  /** A rule of OUTPUT or POSTROUTING drops that answer. */
  | { step: 'answer-dropped' }
  | { step: 'drop'; reason: string; text: string }
  | { step: 'sent'; interface: string; nextHop?: string }
  /** It waits for its next hop to be resolved. */
  | { step: 'held'; interface: string; nextHop?: string }
  /** It waits for the first fragment of its datagram. */
  | { step: 'fragment-held' }
  /** TPROXY gave it to this socket of tsnat's own, which gets it if routes lead here. */
  | { step: 'tproxy'; socket: TracedSocket }
  /** For the gateway itself; `socket` gets it. */
  | { step: 'local'; socket?: TracedSocket }

export type TraceResult = 'sent' | 'dropped' | 'held' | 'local' | 'none'

export interface TraceRecord {
  type: 'packet'
  /** Milliseconds since 1970. */
  time: number
  /** What became of it; `none`: nothing that a trace can tell. */
  result: TraceResult
  /** Of one that was dropped: docs/drop-reasons.md. */
  reason?: string
  steps: TracedStep[]
}

/** Packets that fitted the filter and were not traced, since they came too fast, or nobody read. */
export interface MissedTraces {
  type: 'missed'
  count: number
}
export type TraceLine = TraceRecord | MissedTraces
