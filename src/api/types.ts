/**
 * What the control socket speaks: plain JSON objects. The gateway produces them, the command line prints them.
 */
import type { RedirectCounters } from '../redirect/counters.js'
import type { RedirectSettings } from '../redirect/settings.js'
import type { PingLine, PingRequest, SocketFrame, SocketInfo, SocketRequest, SocketStatus } from './socket-types.js'
import type { LiveTraceRequest, TraceQuestion } from './trace-request.js'
import type { TraceLine, TraceRecord } from './trace-types.js'

/**
 * One direction of a flow, as conntrack shows it. ICMP has type, code and id instead of ports, GRE its keys (0: tsnat does not
 * look at them); what else has no ports has nothing.
 */
export interface TupleRecord {
  src: string
  dst: string
  sport?: number
  dport?: number
  type?: number
  code?: number
  id?: number
  srckey?: number
  dstkey?: number
  packets: number
  /** Bytes of IP datagrams, headers included; a superpacket counts the bytes it carries, as conntrack does. */
  bytes: number
}

export interface FlowRecord {
  /** Identity of the flow while it lives; also prevents deleting a later flow in the same slot. */
  id: string
  /** conntrack's name for it: tcp, udp, icmp, udplite, sctp, gre, or unknown. */
  protocol: string
  /** IP protocol number. */
  protonum: number
  /** conntrack's state word for TCP and SCTP, null for others. */
  state: string | null
  /** Seconds until the flow expires if nothing more comes. */
  timeout: number
  original: TupleRecord
  reply: TupleRecord
  /** A packet has come back. Without it conntrack prints [UNREPLIED]. */
  replied: boolean
  assured: boolean
  mark: number
}

/** Filters of `conntrack -L` and `-D`; all given ones must match. Addresses are prefixes in CIDR notation. */
export interface FlowFilter {
  /** Name (tcp, udp, icmp, udplite, sctp, gre, esp, ah) or number. */
  protocol?: string
  origSrc?: string
  origDst?: string
  replySrc?: string
  replyDst?: string
  origPortSrc?: number
  origPortDst?: number
  replyPortSrc?: number
  replyPortDst?: number
  state?: string
  mark?: number
  /** `-n`/`--src-nat` of conntrack: flows whose source was rewritten (always the case for masqueraded ones). */
  srcNat?: string
}

/** What becomes of flows, as `conntrack -E` tells it. */
export const FLOW_EVENT_TYPES = ['new', 'update', 'destroy'] as const
export type FlowEventType = (typeof FLOW_EVENT_TYPES)[number]

export interface FlowChange {
  /** `new`: its first packet has left; `update`: its state changed, it was answered, or became assured; `destroy`: it has ended. */
  type: FlowEventType
  /** Milliseconds since 1970. */
  time: number
  /** As of then. The timeout of a flow that expired is 0. */
  flow: FlowRecord
  /** Of a flow that was deleted on request: id of the process that did it. */
  portid?: number
}

/** Events that could not be delivered, since more came than were taken. */
export interface LostEvents {
  type: 'lost'
  count: number
}
export type FlowEvent = FlowChange | LostEvents

export interface EventRequest {
  filter: FlowFilter
  types: readonly FlowEventType[]
}

export interface OffloadStatus {
  vnetHeader: boolean
  checksum: boolean
  tcpSegmentation: boolean
  udpSegmentation: boolean
}

export interface InterfaceStatus {
  name: string
  ifindex: number
  up: boolean
  mtu: number
  /** CIDR notation. */
  addresses: string[]
  offloads: OffloadStatus
  rx: { packets: number; bytes: number }
  tx: { packets: number; bytes: number; errors: number; lastError: string | null }
  /** Packets that the kernel dropped before tsnat could read them: PACKET_STATISTICS of the WAN, tx_dropped of the TUN. */
  kernelDrops: number
}

/** What is limited, how far it is used, and the limit; null for none. What was refused at which limit is among the drops. */
export interface LimitStatus {
  profile: 'behave' | 'linux'
  /** Inside addresses that have flows. */
  sources: number
  flowsPerSource: number | null
  newFlowsPerSource: number | null
  halfOpen: { count: number; limit: number | null }
  halfOpenPerSource: number | null
  fragmentBytes: { count: number; limit: number }
  /** Flows of each rule of the configuration (nat.rules), in its order. */
  rules: { count: number; limit: number | null }[]
  icmpErrorsPerSecond: number
  /** ICMP errors that were not sent, because of that limit. */
  icmpErrorsWithheld: number
  refusal: 'host-unreachable' | 'prohibited' | 'silent'
  /** Flows that gave way in a flood. */
  gaveWay: number
}

export interface WanStatus extends InterfaceStatus {
  /** 'degraded' while new flows cannot leave by it. */
  state: 'ready' | 'degraded'
  /** Why it is degraded, one line each. */
  reasons: string[]
  /** What its checks find; null where it has none. `error` is what the last attempt missed, `milliseconds` the last round trip. */
  health: { alive: boolean; since: string; error: string | null; milliseconds: number | null } | null
  /** As configured. */
  weight: number | null
  metric: number | null
  driver: 'packet' | 'raw'
  addressMode: 'shared' | 'owned'
  /** Address that flows leave from, null while there is none. */
  address: string | null
  nextHop: string | null
  /** MAC of the next hop, null when unknown or not Ethernet. */
  neighbour: string | null
  /** The same on all WANs. */
  ports: string
  /** Outside addresses that inside hosts are spread over, `203.0.113.9-203.0.113.12`; null: that of the route. */
  pool: string | null
}

export interface GatewayStatus {
  name: string
  version: string
  pid: number
  /** 'starting' until packets flow; 'degraded' when each WAN has no address, is down or has no route. */
  state: 'starting' | 'ready' | 'degraded' | 'stopping'
  /** Why it is degraded, one line each. */
  reasons: string[]
  /** Seconds since start. */
  uptime: number
  lan: InterfaceStatus & { gatewayAddress: string; netns: string | null; capture: string }
  /** In their order; at least one. */
  wans: WanStatus[]
  flows: { count: number; capacity: number; tcp: number; udp: number; icmp: number; sctp: number; gre: number; other: number; opened: number; expired: number; refused: number }
  limits: LimitStatus
  /** Those of the gateway's own. */
  sockets: SocketStatus
  /** Readers of the event stream; events that the data plane could not hand over, to readers or to the log. */
  events: { readers: number; lost: number }
  /** Lines of the log of bindings: written, and lost. */
  bindings: { logged: number; lost: number }
  /** Packets that LOG and NFLOG rules logged: lines of the log, packets in capture files, and those that were lost. */
  log: { lines: number; packets: number; lost: number }
  /** Those that run now. */
  redirects: RedirectStatus[]
  /** Count by drop reason; reasons that never happened are absent. */
  drops: Record<string, number>
}

/** Which side `capture` listens on. */
export type CaptureSide = 'lan' | 'wan' | 'both'
export interface CaptureRequest {
  side: CaptureSide
  /** Bytes kept of each packet from the IP (LAN) or link (WAN) header on; 0 means all. */
  snaplen: number
  /** Stop after this many packets; 0 means never. */
  count: number
}

/** Programs whose words are taken. */
export const POLICY_TOOLS = ['iptables', 'iptables-save', 'iptables-restore', 'ip', 'ipset'] as const
export type PolicyTool = (typeof POLICY_TOOLS)[number]

/** One command in the words of such a program. */
export interface PolicyRequest {
  tool: PolicyTool
  argv: readonly string[]
  /** The file or standard input that the words are to read; null: they read none. */
  input: { name: string; text: string } | null
}

export interface PolicyAnswer {
  /** For standard output, or for `file`. */
  output: string
  /** For standard error. */
  errors: string
  /** As the program has it: 0 when all is well. */
  exitCode: number
  /** The file that the words name for their output. */
  file: string | null
}

export interface RedirectRequest extends RedirectSettings {
  /** Seconds between lines. */
  readonly interval: number
}

/** A redirector: what it does, and how far it has come. */
export interface RedirectStatus extends Pick<RedirectSettings, 'protocols' | 'by' | 'port'>, RedirectCounters {
  /** The upstream, without its password. */
  to: string
  /** Where it listens. */
  address: string
  /** Why the upstream could not be used at the last attempt; null when it could, or none was made. */
  error: string | null
}

/** `started`: traffic is taken; `status`: from time to time, when something has changed; `ended`: nothing of it is left. */
export interface RedirectLine extends RedirectStatus {
  type: 'started' | 'status' | 'ended'
}

/** What the control socket needs from a running gateway. Implemented by gateway.ts. */
export interface GatewayControl {
  status(): GatewayStatus
  /** Lists flows in no particular order. Reads shared memory beside the running data plane; does not stop packets. */
  flows(filter: FlowFilter): Iterable<FlowRecord>
  /** Number of live flows, without listing them. */
  flowCount(): number
  /** Deletes matching flows; resolves with their records. */
  deleteFlows(filter: FlowFilter): Promise<FlowRecord[]>
  /** What becomes of flows from now on, as it comes, until `signal` aborts or at shutdown. A slow reader loses events, and is told. */
  events(request: EventRequest, signal: AbortSignal): AsyncIterable<FlowEvent[]>
  /** A pcapng byte stream; ends when the count is reached, when `signal` aborts, or at shutdown. */
  capture(request: CaptureRequest, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** What would become of a packet. Nothing is opened, counted or sent. */
  trace(question: TraceQuestion): Promise<TraceRecord>
  /** Packets as they pass, until the count is reached, `signal` aborts, or at shutdown. The first batch is empty: the trace runs. */
  traceLive(request: LiveTraceRequest, signal: AbortSignal): AsyncIterable<TraceLine[]>
  /** Runs a command of iptables, ip or ipset on the gateway's rules, routes and sets. What it changes is in effect when this resolves. */
  policy(request: PolicyRequest): Promise<PolicyAnswer>
  /** Redirects to a SOCKS5 proxy until `signal` aborts, or shutdown. The first line comes when traffic is taken. */
  redirect(request: RedirectRequest, signal: AbortSignal): AsyncIterable<RedirectLine[]>
  /** The gateway's own sockets, in no particular order. */
  listSockets(): Iterable<SocketInfo>
  /**
   * Opens a socket of the gateway's own, and gives what comes of it until it is closed, `gone` aborts, or shutdown. What goes wrong with the
   * socket is an event.
   * @param input what the client sends; it ends, or fails, when the client goes
   */
  openSocket(request: SocketRequest, input: AsyncIterable<SocketFrame>, gone: AbortSignal): AsyncIterable<SocketFrame>
  /** Pings until the count is reached, `signal` aborts, or shutdown; the last line is a summary. */
  ping(request: PingRequest, signal: AbortSignal): AsyncIterable<PingLine[]>
  /** Prometheus text exposition. */
  metrics(): Promise<string>
  /** Begins an orderly shutdown. */
  stop(): void
}
