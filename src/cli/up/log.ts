/** The log of a running gateway: JSON lines, or readable ones on a terminal. */
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import type { Config } from '../../config.js'
import { paint } from '../terminal.js'
import type { TerminalStream } from '../terminal.js'

/** Fields that every line has, or whose words are in its message: the readable form does not repeat them. */
const USUAL: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'name', 'err', 'packet'])
const COLOURS = { trace: 'gray', debug: 'gray', info: 'green', warn: 'yellow', error: 'red', fatal: 'red' } as const

const field = (value: unknown): string => (typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value))

/** `{"level":30,"time":…,"msg":"up","wan":"eth0"}` → `14:03:07.123 info  up wan=eth0` */
export const prettyLine = (line: string, stream: TerminalStream): string => {
  const record = JSON.parse(line) as Record<string, unknown>
  const level = (pino.levels.labels[record['level'] as number] ?? 'info') as keyof typeof COLOURS
  const time = new Date(record['time'] as number)
  const two = (value: number): string => String(value).padStart(2, '0')
  const milliseconds = String(time.getMilliseconds()).padStart(3, '0')
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${milliseconds}`
  const fields = Object.entries(record)
    .filter(([key]) => !USUAL.has(key))
    .map(([key, value]) => ` ${paint(stream, 'gray', `${key}=`)}${field(value)}`)
    .join('')
  const error = record['err'] as { message?: string; stack?: string } | undefined
  const stack = error === undefined ? '' : `\n${error.stack ?? error.message ?? ''}`
  return `${paint(stream, 'gray', clock)} ${paint(stream, COLOURS[level], level.padEnd(5))} ${(record['msg'] as string | undefined) ?? ''}${fields}${stack}\n`
}

/** A log that cannot be written any more (terminal closed, disk full) does not stop the gateway. */
export const createLog = ({ name, log: { level, format } }: { name: string; log: Pick<Config['log'], 'level' | 'format'> }, stream: TerminalStream): Logger => {
  const pretty = format === 'pretty' || (format === 'auto' && stream.isTTY === true)
  stream.on('error', () => {})
  const destination: DestinationStream = { write: (line) => void stream.write(pretty ? prettyLine(line, stream) : line) }
  return pino({ level, base: { pid: process.pid, name } }, destination)
}
