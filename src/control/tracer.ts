/**
 * Traces for the control socket: questions about described packets, and packets that are traced as they pass. The data plane does both;
 * here they are matched with who asked, and put into words.
 */
import type { LiveTraceRequest, TraceQuestion } from '../api/trace-request.js'
import type { TraceLine, TraceRecord } from '../api/trace-types.js'
import { ExitCode, TsnatError } from '../errors.js'
import { buildPacket } from '../trace/build-packet.js'
import type { TraceBatch } from '../trace/live.js'
import type { Trace } from '../trace/steps.js'
import type { ToWorker } from '../worker-protocol.js'
import { traceRecord, type TraceWording } from './trace-words.js'

/** Traces that wait for their reader; later ones are missed. */
const QUEUE = 4096

export interface TracerParts {
  send(message: ToWorker): void
  /** Names of the interfaces by zone. */
  readonly interfaces: readonly string[]
  /** As of now. */
  wording(): Omit<TraceWording, 'interfaceName'>
}

interface Reader {
  queue: TraceLine[]
  missed: number
  /** Packets that are still to come. */
  left: number
  wake: () => void
}

const alreadyTracing = (): TsnatError =>
  new TsnatError('another live trace is running on this gateway', {
    code: 'ALREADY_TRACING', hint: 'end it first, or read its output', exitCode: ExitCode.failure,
  })

const stopped = (): TsnatError =>
  new TsnatError('the gateway stops', { code: 'STOPPING', hint: 'ask again when it runs', exitCode: ExitCode.notRunning })

export class Tracer {
  readonly #parts: TracerParts
  readonly #questions = new Map<number, (trace: Trace | null) => void>()
  #nextId = 1
  #reader: Reader | null = null
  #isClosed = false

  constructor(parts: TracerParts) {
    this.#parts = parts
  }

  /** What would become of a packet. Changes nothing. @throws TsnatError UNKNOWN_INTERFACE, STOPPING */
  async ask({ interface: name, packet, mark, isNew }: TraceQuestion): Promise<TraceRecord> {
    const zone = this.#zoneOf(name) ?? 0
    if (this.#isClosed) throw stopped()
    const id = this.#nextId++
    const trace = await new Promise<Trace | null>((resolve) => {
      this.#questions.set(id, resolve)
      this.#parts.send({ type: 'trace', id, zone, mark, isNew, bytes: buildPacket(packet) })
    })
    if (trace === null) throw stopped()
    return this.#words(trace)
  }

  /** Packets as they pass, until the count is reached or `signal` aborts. @throws TsnatError UNKNOWN_INTERFACE, ALREADY_TRACING */
  async *follow({ interface: name, filter, count }: LiveTraceRequest, signal: AbortSignal): AsyncGenerator<TraceLine[]> {
    const zone = this.#zoneOf(name)
    if (this.#reader !== null) throw alreadyTracing()
    const reader: Reader = { queue: [], missed: 0, left: count === 0 ? Infinity : count, wake: () => {} }
    this.#reader = reader
    const wake = (): void => reader.wake()
    signal.addEventListener('abort', wake)
    this.#parts.send({ type: 'trace-live', request: { filter: { ...filter, zone }, count } })
    try {
      // That it runs: what is done from now on is seen.
      yield []
      for (;;) {
        const isLast = signal.aborted || reader.left === 0
        const lines = takeAll(reader)
        if (lines.length > 0) yield lines
        if (isLast) return
        if (reader.queue.length === 0 && reader.missed === 0 && reader.left > 0 && !signal.aborted) {
          await new Promise<void>((resolve) => (reader.wake = resolve))
        }
      }
    } finally {
      signal.removeEventListener('abort', wake)
      this.#reader = null
      if (!this.#isClosed) this.#parts.send({ type: 'trace-live', request: null })
    }
  }

  /** The data plane answers a question. */
  answered(id: number, trace: Trace): void {
    const answer = this.#questions.get(id)
    this.#questions.delete(id)
    answer?.(trace)
  }

  /** Packets have passed. */
  passed({ traces, missed }: TraceBatch): void {
    const reader = this.#reader
    if (reader === null) return
    reader.missed += missed
    for (const trace of traces) {
      if (reader.left === 0) break
      reader.left--
      if (reader.queue.length < QUEUE) reader.queue.push(this.#words(trace))
      else reader.missed++
    }
    reader.wake()
  }

  /** The data plane has ended: nobody answers any more. */
  close(): void {
    this.#isClosed = true
    for (const answer of this.#questions.values()) answer(null)
    this.#questions.clear()
  }

  /** Null: any. */
  #zoneOf(name: string | null): number | null {
    if (name === null) return null
    const { interfaces } = this.#parts
    const zone = name === 'lan' ? 0 : name === 'wan' ? 1 : interfaces.indexOf(name)
    if (zone >= 0) return zone
    throw new TsnatError(`"${name}" is no interface of this gateway`, {
      code: 'UNKNOWN_INTERFACE', hint: `it has ${interfaces.join(', ')}`, exitCode: ExitCode.usage,
    })
  }

  #words(trace: Trace): TraceRecord {
    return traceRecord(trace, { ...this.#parts.wording(), interfaceName: (zone) => this.#parts.interfaces[zone] ?? `zone ${zone}` })
  }
}

/** What waits for the reader, and how much was missed. */
const takeAll = (reader: Reader): TraceLine[] => {
  const lines = reader.queue
  if (reader.missed > 0) lines.push({ type: 'missed', count: reader.missed })
  reader.queue = []
  reader.missed = 0
  return lines
}
