import type { FlowRecord } from '../../api/types.js'
import { formatConntrack } from '../../api/conntrack.js'
import { paint } from '../terminal.js'
import type { TerminalStream } from '../terminal.js'
import type { Check, DemoReport } from './checks.js'
import { CLIENT, GATEWAY, SERVER } from './stage.js'

/** Flows shown of each protocol. */
const SHOWN = 2

export const headingText = (out: TerminalStream): string =>
  `${paint(out, 'bold', 'tsnat demo')}  client ${CLIENT} ── gateway ${GATEWAY} ── server ${SERVER}, three network namespaces\n\n`

export const checkText = (out: TerminalStream, { name, ok, detail }: Check): string =>
  `  ${ok ? paint(out, 'green', '✓') : paint(out, 'red', '✗')} ${name.padEnd(12)} ${detail}\n`

const gigabits = (bits: number): string => `${(bits / 1e9).toFixed(2)} Gbit/s`.padStart(13)

const speedText = (out: TerminalStream, { direct, tsnat }: NonNullable<DemoReport['speed']>): string => {
  const line = (name: string, without: number, through: number): string =>
    `  ${name.padEnd(10)}${gigabits(without)}${gigabits(through).padStart(17)}${`${(through / without * 100).toFixed(0)} %`.padStart(8)}\n`
  return `\n${paint(out, 'bold', '  one TCP connection, Node at both ends')}\n` +
    `  ${''.padEnd(10)}${'no gateway'.padStart(13)}${'through tsnat'.padStart(17)}\n` +
    line('upload', direct.upload, tsnat.upload) + line('download', direct.download, tsnat.download)
}

/** A few of each protocol, those that carried most first. */
const pick = (flows: readonly FlowRecord[]): FlowRecord[] => {
  const bytes = (flow: FlowRecord): number => flow.original.bytes + flow.reply.bytes
  const sorted = [...flows].sort((a, b) => bytes(b) - bytes(a))
  return (['tcp', 'udp', 'icmp'] as const).flatMap((protocol) => sorted.filter((flow) => flow.protocol === protocol).slice(0, SHOWN))
}

/** What stands below the checks. */
export const closingText = (out: TerminalStream, report: DemoReport): string => {
  const failed = report.checks.filter((check) => !check.ok).length
  const flows = pick(report.flows).map((flow) => `  ${formatConntrack(flow)}\n`).join('')
  return (report.speed === null ? '' : speedText(out, report.speed)) +
    (flows === '' ? '' : `\n${paint(out, 'bold', `  flow table, ${pick(report.flows).length} of ${report.flows.length}`)} (as "tsnat conntrack -L" prints it)\n${flows}`) +
    `\n${failed === 0 ? paint(out, 'green', `All ${report.checks.length} checks passed`) : paint(out, 'red', `${failed} of ${report.checks.length} checks failed`)}` +
    ` in ${report.seconds.toFixed(1)} s; nothing is left behind.\n`
}
