/**
 * Follows a TCP flow: judges each segment by state (tcp-state.ts) and window (tcp-window.ts), and says how long the flow may be
 * idle (tcp-idle.ts). What is out of window drives no state and prolongs nothing (RFC 5382 REQ-5, RFC 7857 2.2).
 *
 * Some segments pass without being believed, since only who receives them can tell what they are worth: a SYN in the middle of
 * a connection, or an acknowledgment instead of a SYN/ACK. What would answer them is awaited: a SYN/ACK that acknowledges the
 * SYN begins the new connection, a RST refuses it; a RST that answers the acknowledgment ends the old one.
 */
import { Drop } from '../drop.js'
import { LATER_FRAGMENT, type Packet, WHOLE } from '../stack/parse.js'
import * as tcp from '../stack/wire/tcp.js'
import {
  type FlowTable, EVENT_REPLIED, eventsIn, FLOW_PACKETS, FLOW_STATUS, FLOW_WORDS, SIDE_BYTES, statusOf,
} from './flow-table.js'
import type { TcpBehaviour } from './settings.js'
import { areRepeatsCounted, countRepeat, firstClass } from './tcp-idle.js'
import { readSegment, Segment } from './tcp-segment.js'
import {
  answeredEvents, closedEvents, CLOSE_WAIT, ESTABLISHED, FIN_WAIT, firstEvents, FREE_SHIFT, IGNORED, INVALID, isSensible, KIND_ACK,
  KIND_RST, KIND_SYN, KIND_SYN_ACK, kindOf, LAST_ACK, type Machine, MACHINES, RESTART, stateOf, STEADY, STEADY_MASK, SYN_RECV,
  SYN_SENT, SYN_SENT2, withAnswers, withMachineEvents,
} from './tcp-state.js'
import { advance, NOT_PLAIN, NOTHING_NEW, PROGRESS } from './tcp-steady.js'
import { ASKS_BACK, BESIDE, FLOW_AWAITED, OUT, TcpWindows } from './tcp-window.js'
import { CLASS_TCP_CLOSE } from './timeouts.js'

/** Events: an answer to an unbelieved segment is awaited; that segment came from the reply side. */
const AWAITING = 1 << FREE_SHIFT
const AWAITING_REPLY = 1 << (FREE_SHIFT + 1)

const UNSTEADY_FLAGS = tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK

/** The segment passes and, with its passing, the flow ends. */
export const LAST_PACKET = -1

export class TcpTracker {
  readonly #table: FlowTable
  readonly #flows: Int32Array
  readonly #windows: TcpWindows
  readonly #machine: Machine
  readonly #watchesWindow: boolean
  readonly #timeouts: Int32Array
  readonly #countsRepeats: boolean
  /** What the status word of a steady flow has under STEADY_BITS. */
  readonly #steady: number
  readonly #segment = new Segment()

  /** @param timeouts idle seconds by class */
  constructor(table: FlowTable, { states, window }: Pick<TcpBehaviour, 'states' | 'window'>, timeouts: Int32Array) {
    this.#table = table
    this.#flows = table.flows
    this.#windows = new TcpWindows(table.flows)
    this.#machine = MACHINES[states]
    this.#watchesWindow = window
    this.#timeouts = timeouts
    this.#countsRepeats = window && areRepeatsCounted(timeouts)
    this.#steady = statusOf(firstClass(STEADY, timeouts), STEADY)
  }

  /**
   * Judges a segment of `side` and changes the flow accordingly.
   * @param isKept the segment may prolong the flow; @param now seconds
   * @returns 0, a drop code, or LAST_PACKET
   */
  track(view: DataView, packet: Packet, side: number, isKept: boolean, now: number): number {
    const flow = side >> 1
    const at = flow * FLOW_WORDS
    const status = this.#flows[at + FLOW_STATUS]!
    if ((status & STEADY_BITS) === this.#steady && (packet.tcpFlags & UNSTEADY_FLAGS) === tcp.ACK && packet.fragment === WHOLE) {
      const found = this.#watchesWindow ? advance(this.#flows, view, packet, at, side & 1, status) : NOTHING_NEW
      if (found !== NOT_PLAIN) {
        if (this.#countsRepeats) countRepeat(this.#flows, at, side & 1, found === PROGRESS)
        if (isKept) this.#table.touch(flow, now)
        return 0
      }
    }
    // A later fragment follows its first, which has been judged.
    if (packet.fragment !== LATER_FRAGMENT) return this.#judge(view, packet, side, isKept, now)
    if (isKept) this.#table.touch(flow, now)
    return 0
  }

  #judge(view: DataView, packet: Packet, side: number, isKept: boolean, now: number): number {
    const flow = side >> 1
    const at = flow * FLOW_WORDS
    const direction = side & 1
    const segment = this.#segment
    const events = eventsIn(this.#flows[at + FLOW_STATUS]!)
    const kind = kindOf(packet.tcpFlags)
    if (this.#machine.checksFlags && !isSensible(packet.tcpFlags)) return Drop['out-of-state']
    readSegment(view, packet, segment)
    if (this.#answersAwaited(at, events, kind, direction)) return this.#takeAnswer(flow, events, kind, direction, isKept, now)

    const next = this.#machine.step(events, kind, direction)
    if (next === INVALID) return Drop['out-of-state']
    if (next === RESTART) return this.#restart(side, isKept, now)
    if (kind === KIND_SYN_ACK && stateOf(events) === SYN_RECV) this.#windows.renew(at, segment, direction)
    if (next === IGNORED || this.#isChallenge(events, kind, direction)) return this.#passUnbelieved(at, events, kind, direction)

    if (this.#watchesWindow) {
      const verdict = this.#judgeWindow(view, packet, at, events, kind, direction)
      if (verdict === OUT) return Drop['out-of-window']
      if (verdict === BESIDE) return 0
      if (verdict === ASKS_BACK) {
        if (isKept || (events & EVENT_REPLIED) !== 0) this.#table.setClass(flow, CLASS_TCP_CLOSE, now)
        return 0
      }
    }
    if (kind === KIND_RST && this.#machine.endsUnanswered && (events & EVENT_REPLIED) === 0) {
      this.#table.setEvents(flow, closedEvents(events))
      return LAST_PACKET
    }
    this.#take(flow, withAnswers(events, next, kind, direction), kind, direction, isKept, now)
    return 0
  }

  #judgeWindow(view: DataView, packet: Packet, at: number, events: number, kind: number, direction: number): number {
    const state = stateOf(events)
    const isOpening = state === SYN_SENT || state === SYN_SENT2
    if (kind === KIND_RST) {
      const isExact = state === ESTABLISHED || state === FIN_WAIT || state === CLOSE_WAIT
      return this.#windows.judgeReset(at, this.#segment, direction, isOpening, isExact)
    }
    return this.#windows.judge(view, packet, at, this.#segment, direction, isOpening)
  }

  /** Stores what a believed segment leads to, and prolongs the flow. */
  #take(flow: number, next: number, kind: number, direction: number, isKept: boolean, now: number): void {
    const table = this.#table
    const at = flow * FLOW_WORDS
    const before = table.eventsOf(flow)
    const isAwaitedGone = direction === ((before & AWAITING_REPLY) !== 0 ? 1 : 0)
    const after = withMachineEvents(isAwaitedGone ? before & ~(AWAITING | AWAITING_REPLY) : before, next)
    if (after !== before) table.setEvents(flow, after)
    if (this.#countsRepeats) countRepeat(this.#flows, at, direction, true)
    const timeoutClass = firstClass(after, this.#timeouts)
    if (timeoutClass !== table.classOf(flow)) {
      if (isKept || (after & EVENT_REPLIED) !== 0) table.setClass(flow, timeoutClass, now)
    } else if (isKept && this.#renews(before, kind)) {
      table.touch(flow, now)
    }
  }

  /** A RST prolongs nothing (RFC 7857 6.2); a SYN that nobody answers not in every machine. */
  #renews(before: number, kind: number): boolean {
    if (kind === KIND_RST) return false
    return kind !== KIND_SYN || this.#machine.renewsBySyn || (before & EVENT_REPLIED) !== 0 || stateOf(before) !== SYN_SENT
  }

  /** A new connection on the same endpoints: the flow is as if it were new, its counters included. */
  #restart(side: number, isKept: boolean, now: number): number {
    const table = this.#table
    const flow = side >> 1
    const at = flow * FLOW_WORDS
    const direction = side & 1
    if (this.#watchesWindow) this.#windows.restart(at, this.#segment, direction)
    this.#flows[at + FLOW_PACKETS] = 0
    this.#flows[at + FLOW_PACKETS + 1] = 0
    table.bytes[(side & ~1) * 4 + SIDE_BYTES] = 0
    table.bytes[(side | 1) * 4 + SIDE_BYTES] = 0
    const events = withMachineEvents(table.eventsOf(flow) & ~(AWAITING | AWAITING_REPLY), firstEvents(direction))
    table.setEvents(flow, direction === 1 ? events | EVENT_REPLIED : events)
    // One that nobody inside has asked for lives no longer than the one before, until the inside answers.
    if (isKept) table.setClass(flow, firstClass(events, this.#timeouts), now)
    return 0
  }

  /** Lets a segment pass, and remembers what an answer to it will have to say. */
  #passUnbelieved(at: number, events: number, kind: number, direction: number): number {
    const { acknowledgment, end } = this.#segment
    const flow = at / FLOW_WORDS
    const before = this.#table.eventsOf(flow)
    const isSyn = kind === KIND_SYN && !this.#windows.isOldSyn(at, this.#segment, direction)
    const isAcknowledgment = kind === KIND_ACK && stateOf(events) === SYN_SENT && direction === 1
    let after = direction === 1 ? before | EVENT_REPLIED : before
    if (isSyn || isAcknowledgment) {
      this.#flows[at + FLOW_AWAITED] = isSyn ? end : acknowledgment
      after = (after & ~AWAITING_REPLY) | AWAITING | (direction === 1 ? AWAITING_REPLY : 0)
    } else if (this.#isChallenge(events, kind, direction)) {
      after &= ~(AWAITING | AWAITING_REPLY)
    }
    if (after !== before) this.#table.setEvents(flow, after)
    return 0
  }

  /** An acknowledgment after an unbelieved SYN answers that: it is not the last one of the connection (RFC 5961 4.2). */
  #isChallenge(events: number, kind: number, direction: number): boolean {
    return kind === KIND_ACK && stateOf(events) === LAST_ACK && isAwaitingFrom(events, direction ^ 1)
  }

  #answersAwaited(at: number, events: number, kind: number, direction: number): boolean {
    const { flags, sequence, acknowledgment } = this.#segment
    const awaited = this.#flows[at + FLOW_AWAITED]!
    if (!isAwaitingFrom(events, direction ^ 1)) return false
    if (kind === KIND_RST && stateOf(events) === SYN_SENT) return sequence === awaited
    return (kind === KIND_SYN_ACK || (kind === KIND_RST && (flags & tcp.ACK) !== 0)) && acknowledgment === awaited
  }

  #takeAnswer(flow: number, events: number, kind: number, direction: number, isKept: boolean, now: number): number {
    const at = flow * FLOW_WORDS
    const rest = events & ~(AWAITING | AWAITING_REPLY)
    if (kind === KIND_RST) {
      this.#table.setEvents(flow, rest)
      this.#take(flow, closedEvents(rest), kind, direction, isKept, now)
      return 0
    }
    if (this.#watchesWindow) this.#windows.resume(at, this.#segment, direction)
    this.#table.setEvents(flow, this.#table.eventsOf(flow) & ~(AWAITING | AWAITING_REPLY))
    this.#take(flow, answeredEvents(direction), kind, direction, isKept, now)
    return 0
  }
}

const isAwaitingFrom = (events: number, direction: number): boolean =>
  (events & (AWAITING | AWAITING_REPLY)) === (direction === 1 ? AWAITING | AWAITING_REPLY : AWAITING)

/** Of the status word: what the short way needs to be as it is in a steady flow. */
const STEADY_BITS = statusOf(31, STEADY_MASK | AWAITING)
