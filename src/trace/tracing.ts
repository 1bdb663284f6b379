/**
 * Whether somebody traces the packet in hand: asked by those on the way of a packet, off its straight line; and what is told there.
 *
 * Nearly always nobody does: `recorder` and `live` are null. Between `start` and `stop` there is a recorder, for one packet, which the
 * rules tell as well. A packet that is traced asks for all that is stored with its flow, so that there is something to tell.
 */
import type { Attachment } from '../attachment.js'
import { EPOCH_MASK } from '../epoch.js'
import { type FlowTable, SIDE_HOP, SIDE_WORDS } from '../nat/flow-table.js'
import type { TraceRecorder } from '../policy/engine/trace.js'
import type { LiveTrace } from './live.js'
import type { Recorder } from './recorder.js'

export interface TracingParts {
  readonly view: DataView
  readonly table: FlowTable
  /** By zone. */
  readonly attachments: readonly Attachment[]
  /** Told of the recorder, too. */
  readonly rules: { recorder: TraceRecorder | null }
}

export class Tracing {
  /** Packets that are traced as they pass. */
  live: LiveTrace | null = null
  /** Notes what happens to the packet in hand. */
  recorder: Recorder | null = null
  readonly #view: DataView
  readonly #table: FlowTable
  readonly #attachments: readonly Attachment[]
  readonly #rules: TracingParts['rules']

  constructor({ view, table, attachments, rules }: TracingParts) {
    this.#view = view
    this.#table = table
    this.#attachments = attachments
    this.#rules = rules
  }

  /** Nothing may be opened, counted or sent. */
  get isDry(): boolean {
    return this.recorder !== null && this.recorder.isDry
  }

  start(recorder: Recorder | null): void {
    this.recorder = recorder
    this.#rules.recorder = recorder
  }

  /** Returns the recorder that there was. */
  stop(): Recorder | null {
    const { recorder } = this
    this.start(null)
    return recorder
  }

  /** Whether the packet at `at` is to be traced as it passes; then it is from now on. @param received bytes that are there */
  takes(at: number, received: number, zone: number): boolean {
    if (this.live === null || !this.live.takes(this.#view, at, received, zone)) return false
    this.start(this.live.recorder)
    return true
  }

  /** Tells of the flow that the packet belongs to, or that there is none (-1), and lets it ask anew. */
  flow(side: number): void {
    const { recorder } = this
    if (recorder === null) return
    if (side < 0) recorder.noFlow()
    else {
      recorder.flow(side, false)
      this.#table.sides[side * SIDE_WORDS + SIDE_HOP]! &= ~EPOCH_MASK
    }
  }

  /** The packet leaves, and lies at `at` as it does. @param length bytes that are there */
  sent(at: number, length: number, to: Attachment, link: number): void {
    const { recorder } = this
    if (recorder === null) return
    recorder.rewritten(this.#view, at, length)
    recorder.sent(to.zone, to.neighbours === null ? null : to.neighbours.addressOf(link))
  }

  /** The packet that `takes` took has come to its end. @param drop 0, or its drop code */
  ended(at: number, received: number, drop: number): void {
    const recorder = this.recorder!
    const { side, isOver } = recorder
    if (drop !== 0) recorder.dropped(drop)
    else if (!isOver && side >= 0) {
      this.sent(at, received, this.#attachments[this.#table.egressOf(side)]!, this.#table.sides[side * SIDE_WORDS + SIDE_HOP]! >>> 16)
    }
    this.stop()
    this.live?.ended()
  }
}
