/**
 * Flows as `conntrack -L` prints them, byte for byte (checked against conntrack-tools 1.4.7):
 *
 *     tcp      6 431998 ESTABLISHED src=10.0.0.2 dst=198.51.100.10 sport=50594 dport=8080 packets=4 bytes=219
 *     src=198.51.100.10 dst=198.51.100.1 sport=8080 dport=50594 packets=3 bytes=167 [ASSURED] mark=0 use=1
 *
 * on one line. `[UNREPLIED]` stands between the two directions, `[ASSURED]` after the second.
 */
import type { FlowRecord, TupleRecord } from './types.js'

export interface ConntrackFormat {
  /** `-o extended`: name and number of the network protocol first. */
  extended?: boolean
  /** `-o id`: the flow's identity last. */
  id?: boolean
}

const tuple = (one: TupleRecord): string => {
  const ports = one.sport === undefined ? `type=${one.type} code=${one.code} id=${one.id}` : `sport=${one.sport} dport=${one.dport}`
  return `src=${one.src} dst=${one.dst} ${ports} packets=${one.packets} bytes=${one.bytes}`
}

/** One flow as one line, without the line feed. */
export const formatConntrack = (flow: FlowRecord, format: ConntrackFormat = {}): string =>
  [
    ...(format.extended === true ? ['ipv4     2'] : []),
    `${flow.protocol.padEnd(8)} ${flow.protonum} ${flow.timeout}`,
    ...(flow.state === null ? [] : [flow.state]),
    tuple(flow.original),
    ...(flow.replied ? [] : ['[UNREPLIED]']),
    tuple(flow.reply),
    ...(flow.assured ? ['[ASSURED]'] : []),
    `mark=${flow.mark} use=1`,
    ...(format.id === true ? [`id=${flow.id}`] : []),
  ].join(' ')
