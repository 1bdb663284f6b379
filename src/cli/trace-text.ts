/** A trace for people: hook by hook, rule by rule, what was looked up, what was changed, and what became of the packet. */
import { formatConntrack } from '../api/conntrack.js'
import type { TracedPacket, TracedRoute, TracedRule, TracedSocket, TracedStep, TraceRecord } from '../api/trace-types.js'
import { paint } from './terminal.js'
import type { TerminalStream } from './terminal.js'

export interface TraceFormat {
  /** Leaves out rules that did not match, tables that only let the packet pass, and what a lookup has looked at. */
  readonly brief: boolean
  /** The time first. */
  readonly timed: boolean
}

const INDENT = '  '
const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`

const endpoint = (address: string, port: number | undefined): string => (port === undefined ? address : `${address}:${port}`)

const icmpWords = ({ type, code, id }: TracedPacket): string =>
  type === undefined ? '' : ` type ${type} code ${code}${id === undefined ? '' : ` id ${id}`}`

const fragmentWords = ({ fragment }: TracedPacket): string =>
  fragment === undefined ? '' : `, fragment from byte ${fragment.offset}${fragment.more ? ', more follow' : ', the last'}`

const packetLine = (packet: TracedPacket): string => {
  const { src, dst, sport, dport, protocol, flags, length, ttl, tos, mark } = packet
  const flagWords = flags === undefined ? '' : ` ${flags.length === 0 ? 'without flags' : flags.join(',')}`
  const markWords = mark === undefined ? '' : `, mark ${hex(mark, 1)}`
  return `${packet.interface}  ${endpoint(src, sport)} > ${endpoint(dst, dport)} ${protocol}${flagWords}${icmpWords(packet)}, length ${length}, ` +
    `TTL ${ttl}, TOS ${hex(tos, 2)}${markWords}${fragmentWords(packet)}`
}

const ruleLine = ({ chain, number, rule, matched, failed }: TracedRule, stream: TerminalStream): string => {
  const text = `${chain} ${number}: ${rule ?? '(this rule is gone by now)'}`
  return matched ? `${paint(stream, 'green', '+')} ${text}` : paint(stream, 'dim', `- ${text}   [not: ${failed}]`)
}

const ERROR_TEXTS: Readonly<Record<NonNullable<TracedRoute['error']>, string>> = {
  'net-unreachable': 'no route', 'host-unreachable': 'unreachable', 'prohibited': 'prohibited', 'blackhole': 'blackhole',
}

const routeResult = ({ error, type, via, dev, table, pref }: TracedRoute): string => {
  const way = error === undefined ? [type === 'unicast' ? '' : type, via === undefined ? '' : `via ${via}`, dev === undefined ? '' : `dev ${dev}`] : [ERROR_TEXTS[error]]
  return [...way, table === undefined ? '' : `table ${table}`, pref === undefined ? '' : `by rule ${pref}`].filter((word) => word !== '').join(' ')
}

const routeLines = (step: TracedRoute, { brief }: TraceFormat, stream: TerminalStream): string[] => {
  const { src, dst, iif, mark, tos, looked } = step
  const key = [`${dst} from ${src} iif ${iif}`, ...(mark === undefined ? [] : [`mark ${hex(mark, 1)}`]), ...(tos === undefined ? [] : [`tos ${hex(tos, 2)}`])].join(' ')
  const result = routeResult(step)
  return [
    `${paint(stream, 'bold', 'route')} ${key}`,
    ...(brief ? [] : looked.map((line) => `${INDENT}${paint(stream, 'dim', line)}`)),
    `${INDENT}= ${step.error === undefined ? result : paint(stream, 'yellow', result)}`,
  ]
}

const translationLine = ({ what, address, port }: Extract<TracedStep, { step: 'translation' }>): string => {
  const parts = [address === undefined ? 'address stays' : address, port === undefined ? 'port to be chosen' : `port ${port}`]
  return `a flow would have this ${what}: ${parts.join(', ')}`
}

const value = (field: string, one: string | number): string => {
  if (typeof one === 'string') return one
  return field === 'mark' || field === 'connmark' ? hex(one, 1) : field === 'TOS' ? hex(one, 2) : String(one)
}

const toward = (nextHop: string | undefined): string => (nextHop === undefined ? '' : ` to ${nextHop}`)

const socketText = ({ local, remote, transparent }: TracedSocket): string =>
  `${local}${remote === undefined ? '' : `, connected with ${remote}`}${transparent ? ' (transparent)' : ''}`

/** What is outside of the rules. */
const otherLines = (step: TracedStep, format: TraceFormat, stream: TerminalStream): string[] => {
  switch (step.step) {
    case 'no-flow': return ['no flow has this tuple']
    case 'flow': {
      const title = `${step.new ? 'a flow is opened' : 'the packet belongs to a flow'}${step.direction === 'reply' ? ', as a reply' : ''}`
      return [title, ...(step.flow === null ? [] : [`${INDENT}${formatConntrack(step.flow, { id: true })}`])]
    }
    case 'translation': return [translationLine(step)]
    case 'route': return routeLines(step, format, stream)
    case 'rewrite': return [`changed: ${step.changes.map(({ field, from, to }) => `${field} ${value(field, from)} -> ${value(field, to)}`).join(', ')}`]
    case 'answer': return [`the sender is told: ${step.kind === 'icmp' ? `ICMP ${step.type}/${step.code}, ${step.name}` : 'TCP RST'}`]
    case 'answer-dropped': return ['a rule drops that answer']
    case 'drop': return [`${paint(stream, 'red', `dropped: ${step.reason}`)}: ${step.text}`]
    case 'sent': return [`${paint(stream, 'green', 'sent')} by ${step.interface}${toward(step.nextHop)}`]
    case 'held': return [`${paint(stream, 'yellow', 'waits')} for the next hop by ${step.interface}${toward(step.nextHop)}`]
    case 'fragment-held': return [`${paint(stream, 'yellow', 'waits')} for the first fragment of its datagram`]
    case 'tproxy': return [`TPROXY gives it to the socket ${socketText(step.socket)}, if routes lead here`]
    case 'local': return [`for the gateway itself${step.socket === undefined ? '' : `: ${paint(stream, 'green', 'delivered')} to the socket ${socketText(step.socket)}`}`]
    default: return []
  }
}

/** @param stream decides about colours */
export const traceText = ({ time, steps }: TraceRecord, format: TraceFormat, stream: TerminalStream): string => {
  const lines: string[] = []
  let hook = ''
  /** A table that nothing was told of yet. */
  let table: Extract<TracedStep, { step: 'table' }> | null = null
  const enter = (name: string): void => {
    if (name !== hook) lines.push(`${INDENT}${paint(stream, 'bold', name)}`)
    hook = name
  }
  const tell = (line: string): void => {
    if (table !== null) {
      enter(table.hook)
      lines.push(`${INDENT.repeat(2)}${table.table}`)
      table = null
    }
    lines.push(`${INDENT.repeat(3)}${line}`)
  }
  for (const step of steps) {
    switch (step.step) {
      case 'packet':
        lines.push(`${format.timed ? `${new Date(time).toISOString().slice(11, 23)}  ` : ''}${paint(stream, 'bold', packetLine(step))}`)
        break
      case 'table':
        table = step
        break
      case 'rule':
        if (step.matched || !format.brief) tell(ruleLine(step, stream))
        break
      case 'skipped':
        if (!format.brief) tell(paint(stream, 'dim', `- ${step.rules} more rules that did not match`))
        break
      case 'policy':
        if (table !== null && format.brief && step.policy === 'ACCEPT') break
        tell(`= ${step.chain} policy ${step.policy === 'DROP' ? paint(stream, 'red', 'DROP') : step.policy}`)
        break
      case 'stored':
        enter(step.hook)
        lines.push(`${INDENT.repeat(2)}as was decided for the flow; the rules are not asked again`)
        break
      default:
        hook = ''
        table = null
        lines.push(...otherLines(step, format, stream).map((line) => `${INDENT}${line}`))
    }
  }
  return lines.map((line) => `${line}\n`).join('')
}
