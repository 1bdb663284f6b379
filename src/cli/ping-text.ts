/** What ping(8) of iputils prints. */
import type { PingLine, PingRequest, PingSummary } from '../api/socket-types.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import { errnoText } from './errno-text.js'

/** Of the headers of IPv4 and ICMP. */
const HEADERS = 28

const UNREACHABLE: readonly string[] = [
  'Destination Net Unreachable', 'Destination Host Unreachable', 'Destination Protocol Unreachable', 'Destination Port Unreachable',
  'Frag needed and DF set', 'Source Route Failed', 'Destination Net Unknown', 'Destination Host Unknown', 'Source Host Isolated',
  'Destination Net Prohibited', 'Destination Host Prohibited', 'Destination Net Unreachable for Type of Service',
  'Destination Host Unreachable for Type of Service', 'Packet filtered', 'Precedence Violation', 'Precedence Cutoff',
]

const icmpText = (type: number, code: number): string => {
  if (type === icmp4.UNREACHABLE) return UNREACHABLE[code] ?? `Dest Unreachable, Bad Code: ${code}`
  if (type === icmp4.TIME_EXCEEDED) return code === 0 ? 'Time to live exceeded' : code === 1 ? 'Frag reassembly time exceeded' : `Time exceeded, Bad Code: ${code}`
  return type === icmp4.PARAMETER_PROBLEM ? 'Parameter problem' : `Bad ICMP type: ${type}`
}

/** As many digits as ping has: three figures at least. */
const timeText = (time: number): string => {
  const digits = time >= 99.95 ? 0 : time >= 9.995 ? 1 : time >= 0.9995 ? 2 : 3
  return `${time.toFixed(digits)} ms`
}

export const pingHeading = ({ host, localAddress, size }: PingRequest): string =>
  `PING ${host} (${host}) ${localAddress === null ? '' : `from ${localAddress} : `}${size}(${size + HEADERS}) bytes of data.\n`

const summaryText = (host: string, { transmitted, received, duplicates, errors, time, rtt }: PingSummary): string => {
  const loss = transmitted === 0 ? '' : `, ${Number((((transmitted - received) * 100) / transmitted).toPrecision(6))}% packet loss`
  const extra = `${duplicates === 0 ? '' : `, +${duplicates} duplicates`}${errors === 0 ? '' : `, +${errors} errors`}`
  const trips = rtt === null ? '' : `rtt min/avg/max/mdev = ${[rtt.min, rtt.avg, rtt.max, rtt.mdev].map((one) => one.toFixed(3)).join('/')} ms`
  return `\n--- ${host} ping statistics ---\n${transmitted} packets transmitted, ${received} received${extra}${loss}, time ${Math.round(time)}ms\n${trips}\n`
}

/** What goes to standard output; nothing for what is an error of this side. */
export const pingText = (request: PingRequest, line: PingLine): string => {
  switch (line.type) {
    case 'started': return pingHeading(request)
    case 'reply': return `${line.bytes} bytes from ${line.from}: icmp_seq=${line.sequence} ttl=${line.ttl} time=${timeText(line.time)}${line.duplicate ? ' (DUP!)' : ''}\n`
    case 'failure': return `From ${line.from} icmp_seq=${line.sequence} ${icmpText(line.icmpType, line.icmpCode)}\n`
    case 'error': return ''
    case 'ended': return summaryText(request.host, line)
  }
}

export const pingErrorText = (code: string, syscall: string): string => `ping: ${syscall === 'send' ? 'sendmsg' : syscall}: ${errnoText(code)}\n`
