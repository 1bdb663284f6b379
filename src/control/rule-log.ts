/**
 * The log of rules: writes down what LOG and NFLOG rules say of packets. LOG becomes lines of the log, in the words of the kernel
 * (packet-text.ts) and as fields; NFLOG goes to capture files (nflog-files.ts) or, where there are none, to the log, too.
 * docs/logging.md tells users.
 *
 * The data plane fills a ring (hooks/log-ring.ts), which is emptied 50 times a second while there are such rules. A turn writes a
 * bounded number of lines, so that a flood of packets neither holds up the main thread nor fills the disk at the network's speed;
 * the ring smooths bursts, and what does not fit is lost and counted.
 */
import type { Level, Logger } from 'pino'
import { type LogRecord, RuleLogReader } from '../hooks/log-ring.js'
import { HOOK_NAMES, type LogTarget, type NflogTarget, type Ruleset } from '../policy/model.js'
import { type LoggingRule, LoggingRules } from './logging-rules.js'
import { NflogFiles, type NflogPacket, type NflogSettings } from './nflog-files.js'
import { describePacket } from './packet-text.js'

/** Milliseconds between two looks at the ring; while no rule logs. */
const PAUSE = 20
const IDLE_PAUSE = 250
/** Lines of a turn at most: 10 000 a second. */
const TURN_LINES = 200
/** Bytes of packets after which the event loop has its turn. */
const TURN_BYTES = 1 << 20
/** Milliseconds between two complaints about lost lines. */
const COMPLAINT_PAUSE = 10_000

const FIRST_OUTGOING_HOOK = HOOK_NAMES.indexOf('OUTPUT')
/** Numbers of interfaces: the LAN; WANs follow. */
const LAN = 2

/** By `--log-level`, emerg to debug. */
const LEVELS: readonly Level[] = ['fatal', 'fatal', 'fatal', 'error', 'warn', 'info', 'info', 'debug']

export interface RuleLogSources {
  readonly ring: SharedArrayBuffer
  /** The rules of now. */
  readonly ruleset: () => Ruleset
  /** Names of interfaces by the numbers that rules know them by; 0 is none. */
  readonly interfaces: readonly string[]
  /** Milliseconds since 1970 of a time on the data plane's clock. */
  readonly wallTime: (time: number) => number
  readonly log: Logger
  /** Of the instance. */
  readonly name: string
  readonly nflog: NflogSettings
}

/** Microseconds since 1970. */
const microseconds = (time: number, wallTime: RuleLogSources['wallTime']): number =>
  wallTime(Math.floor(time)) * 1000 + Math.floor((time % 1) * 1000)

const hexMark = (mark: number): string => `0x${mark.toString(16)}`

/** The level of a line: NFLOG has none of its own. */
const levelOf = (target: LogTarget | NflogTarget): Level => (target.kind === 'LOG' ? LEVELS[target.level]! : 'info')

export class RuleLogWriter {
  readonly #sources: RuleLogSources
  readonly #reader: RuleLogReader
  readonly #rules: LoggingRules
  readonly #files: NflogFiles | null
  #timer: NodeJS.Timeout | undefined
  #unknown = 0
  #complained = { at: -Infinity, lost: 0 }
  /** Lines written to the log. */
  lines = 0

  /** @throws TsnatError NFLOG_DIRECTORY */
  constructor(sources: RuleLogSources) {
    const { ring, ruleset, log, name, nflog } = sources
    this.#sources = sources
    this.#reader = new RuleLogReader(ring)
    this.#rules = new LoggingRules(ruleset)
    const { directory } = nflog
    this.#files = directory === undefined ? null : new NflogFiles({ ...nflog, directory }, name, (err, path) => {
      log.warn({ err, path }, 'packets of NFLOG rules cannot be written to their file')
    })
  }

  /** Packets written to capture files. */
  get packets(): number {
    return this.#files?.written ?? 0
  }

  /** Packets that rules logged and that nobody will read of. */
  get lost(): number {
    return this.#reader.lost + this.#unknown + (this.#files?.lost ?? 0)
  }

  start(): void {
    this.#later(0)
  }

  /** Writes what is left, and closes the files. Call it when nothing is forwarded any more. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#rules.refresh(Date.now())
    for (let record = this.#reader.read(); record !== undefined; record = this.#reader.read()) this.#take(record)
    this.#complain()
    await this.#files?.close()
  }

  /** Milliseconds until the next look. */
  drain(): number {
    const mayLog = this.#rules.refresh(Date.now())
    const end = this.lines + TURN_LINES
    let bytes = 0
    while (this.lines < end && bytes < TURN_BYTES) {
      const record = this.#reader.read()
      if (record === undefined) break
      bytes += record.bytes.length
      this.#take(record)
    }
    this.#complain()
    return bytes >= TURN_BYTES ? 0 : mayLog ? PAUSE : IDLE_PAUSE
  }

  #later(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#later(this.drain()), milliseconds).unref()
  }

  #take(record: LogRecord): void {
    const rule = this.#rules.find(record.rule)
    if (rule === undefined) this.#unknown++
    else if (rule.target.kind === 'NFLOG' && this.#files !== null) this.#files.write(rule.target.group, this.#packetOf(record, rule.target))
    else this.#line(record, rule)
  }

  #line(record: LogRecord, { target, table, chain, number }: LoggingRule): void {
    const { log, wallTime } = this.#sources
    const level = levelOf(target)
    if (!log.isLevelEnabled(level)) return
    this.lines++
    const { text, fields } = describePacket(record.bytes, record.originalLength, target.kind === 'LOG' ? target.flags : 0)
    const { mark, hook } = record
    const [input, output] = [this.#name(record.input), this.#name(record.output)]
    // What interfaces have no link header has none here: rules see packets, not frames.
    const start = `IN=${input} OUT=${output} ${input === '' ? '' : 'MAC= '}`
    const end = mark === 0 ? '' : `MARK=${hexMark(mark)}`
    const packet = {
      at: new Date(wallTime(Math.floor(record.time))).toISOString(),
      target: target.kind, ...(target.kind === 'NFLOG' ? { group: target.group } : {}), table, chain, rule: number,
      hook: HOOK_NAMES[hook]!, prefix: target.prefix, IN: input, OUT: output, ...fields, ...(mark === 0 ? {} : { MARK: mark }),
    }
    log[level]({ packet }, (target.prefix + start + text + end).trimEnd())
  }

  #packetOf(record: LogRecord, { prefix, size }: NflogTarget): NflogPacket {
    const { hook, input, output, mark, originalLength } = record
    const isOutgoing = hook >= FIRST_OUTGOING_HOOK
    const number = isOutgoing ? output || input : input || output
    const words = [
      HOOK_NAMES[hook]!, ...(input === 0 ? [] : [`in=${this.#name(input)}`]), ...(output === 0 ? [] : [`out=${this.#name(output)}`]),
      ...(mark === 0 ? [] : [`mark=${hexMark(mark)}`]),
    ]
    return {
      interface: { name: this.#name(number), description: number === LAN ? 'LAN side of tsnat' : number > LAN ? 'WAN side of tsnat' : 'this host' },
      timestamp: microseconds(record.time, this.#sources.wallTime),
      direction: isOutgoing ? 'out' : 'in',
      originalLength,
      // More is kept of it, for the log.
      bytes: size === null ? record.bytes : record.bytes.subarray(0, size),
      comments: [...(prefix === '' ? [] : [prefix]), words.join(' ')],
    }
  }

  #name(number: number): string {
    return number === 0 ? '' : (this.#sources.interfaces[number] ?? `#${number}`)
  }

  #complain(): void {
    const { lost } = this
    const now = Date.now()
    if (lost === this.#complained.lost || now - this.#complained.at < COMPLAINT_PAUSE) return
    this.#sources.log.warn({ lost: lost - this.#complained.lost }, 'packets that rules logged were lost')
    this.#complained = { at: now, lost }
  }
}
