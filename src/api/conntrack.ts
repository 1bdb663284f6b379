/**
 * Flows as `conntrack -L` prints them, byte for byte (checked against conntrack-tools 1.4.7):
 *
 *     tcp      6 431998 ESTABLISHED src=10.0.0.2 dst=198.51.100.10 sport=50594 dport=8080 packets=4 bytes=219
 *     src=198.51.100.10 dst=198.51.100.1 sport=8080 dport=50594 packets=3 bytes=167 [ASSURED] mark=0 use=1
 *
 * on one line. `[UNREPLIED]` stands between the two directions, `[ASSURED]` after the second. And events as `conntrack -E` does:
 *
 *      [UPDATE] udp      17 30 src=10.0.0.2 dst=198.51.100.10 sport=5000 dport=53 src=198.51.100.10 dst=198.51.100.1 sport=53 dport=5000
 */
import type { FlowChange, FlowEventType, FlowRecord, TupleRecord } from './types.js'

export interface ConntrackFormat {
  /** `-o extended`: name and number of the network protocol first. */
  extended?: boolean
  /** `-o id`: the flow's identity last. */
  id?: boolean
  /** `-o timestamp`, of events: when it happened, first. */
  timestamp?: boolean
}

const counters = (one: TupleRecord): string => `packets=${one.packets} bytes=${one.bytes}`

/** Ports, or what a protocol has instead; of an unknown one nothing. */
const distinction = ({ sport, dport, type, code, id, srckey, dstkey }: TupleRecord): string[] => {
  if (sport !== undefined) return [`sport=${sport} dport=${dport}`]
  if (type !== undefined) return [`type=${type} code=${code} id=${id}`]
  return srckey === undefined ? [] : [`srckey=0x${srckey.toString(16)} dstkey=0x${dstkey?.toString(16)}`]
}

const tuple = (one: TupleRecord): string => [`src=${one.src} dst=${one.dst}`, ...distinction(one)].join(' ')

/** One flow as one line, without the line feed. */
export const formatConntrack = (flow: FlowRecord, format: ConntrackFormat = {}): string =>
  [
    ...(format.extended === true ? ['ipv4     2'] : []),
    `${flow.protocol.padEnd(8)} ${flow.protonum} ${flow.timeout}`,
    ...(flow.state === null ? [] : [flow.state]),
    tuple(flow.original),
    counters(flow.original),
    ...(flow.replied ? [] : ['[UNREPLIED]']),
    tuple(flow.reply),
    counters(flow.reply),
    ...(flow.assured ? ['[ASSURED]'] : []),
    `mark=${flow.mark} use=1`,
    ...(format.id === true ? [`id=${flow.id}`] : []),
  ].join(' ')

const WORDS: Readonly<Record<FlowEventType, string>> = { new: '    [NEW]', update: ' [UPDATE]', destroy: '[DESTROY]' }

/** `[1795167009.016000]` and a tab: seconds since 1970 to the microsecond, of which tsnat knows thousands. */
const timestamp = (time: number): string => `[${Math.floor(time / 1000)}.${String(time % 1000).padStart(3, '0')}000]\t`

/**
 * One event as one line, without the line feed. The kernel leaves out mark and use in events, counters in all but DESTROY, and the timeout of
 * a flow that has expired.
 */
export const formatConntrackEvent = ({ type, time, flow, portid }: FlowChange, format: ConntrackFormat = {}): string => {
  const count = (one: TupleRecord): string[] => (type === 'destroy' ? [counters(one)] : [])
  const line = [
    WORDS[type],
    ...(format.extended === true ? ['ipv4     2'] : []),
    `${flow.protocol.padEnd(8)} ${flow.protonum}`,
    ...(type === 'destroy' && flow.timeout === 0 ? [] : [flow.timeout]),
    ...(flow.state === null ? [] : [flow.state]),
    tuple(flow.original),
    ...count(flow.original),
    ...(flow.replied ? [] : ['[UNREPLIED]']),
    tuple(flow.reply),
    ...count(flow.reply),
    ...(flow.assured ? ['[ASSURED]'] : []),
    ...(format.id === true ? [`id=${flow.id}`] : []),
    ...(portid === undefined ? [] : [`[USERSPACE] portid=${portid}`]),
  ]
  return `${format.timestamp === true ? timestamp(time) : ''}${line.join(' ')}`
}
