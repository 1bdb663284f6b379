/**
 * Traces packets as they pass: those that a filter names, at most so many a second, until a count is reached.
 *
 * `takes` is asked for each packet that comes while a filter is set, and only then. What was traced waits here until the loop of the data
 * plane hands it to the main thread, at the end of the turn.
 */
import { TokenBucket } from '../stack/token-bucket.js'
import { matchesFilter, type TraceFilter } from './filter.js'
import { readHeaders } from './headers.js'
import { Recorder, type RecorderSources } from './recorder.js'
import type { Trace } from './steps.js'

/** Packets a second, and at once. Others are counted as missed. */
export const TRACES_PER_SECOND = 1000
/** Rules that did not match and are told of one packet. */
const UNMET_MAX = 200

export interface TraceRequest {
  readonly filter: TraceFilter
  /** End after so many; 0: never. */
  readonly count: number
}

export interface TraceBatch {
  readonly traces: readonly Trace[]
  /** Packets that fitted and came too fast, since the batch before. */
  readonly missed: number
}

export class LiveTrace {
  readonly recorder: Recorder
  readonly #sources: RecorderSources
  readonly #filter: TraceFilter
  readonly #limit = new TokenBucket(TRACES_PER_SECOND, TRACES_PER_SECOND)
  #left: number
  #traces: Trace[] = []
  #missed = 0

  constructor(sources: RecorderSources, { filter, count }: TraceRequest) {
    this.#sources = sources
    this.#filter = filter
    this.#left = count === 0 ? Infinity : count
    this.recorder = new Recorder(sources, UNMET_MAX)
  }

  /** Whether the packet at `at` is to be traced; the recorder has begun then. @param received bytes that are there */
  takes(view: DataView, at: number, received: number, zone: number): boolean {
    if (this.#left === 0) return false
    const headers = readHeaders(view, at, received)
    if (headers === null || !matchesFilter(this.#filter, headers, zone)) return false
    if (!this.#limit.take(this.#sources.now)) {
      this.#missed++
      return false
    }
    this.#left--
    this.recorder.begin(view, at, received, zone)
    return true
  }

  /** The packet that was taken has come to its end. */
  ended(): void {
    this.#traces.push(this.recorder.take())
  }

  /** What has been traced since the last call; null when there is nothing to tell. */
  collect(): TraceBatch | null {
    if (this.#traces.length === 0 && this.#missed === 0) return null
    const batch = { traces: this.#traces, missed: this.#missed }
    this.#traces = []
    this.#missed = 0
    return batch
  }
}
