/** A sender's recovery and a receive queue with a path between them, and a clock; no packets. */
import { ReceiveQueue } from '../../../../../src/stack/sockets/tcp/receive-queue.js'
import { Recovery, type Range } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'

/** Numbers in [0, 1) that depend on the seed alone. */
export const randomFrom = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

export interface Path {
  bytes: number
  seed?: number
  mss?: number
  sack?: boolean
  timestamps?: boolean
  congestion?: 'cubic' | 'new-reno'
  /** Of segments, and of acknowledgements: a share. */
  loss?: number
  ackLoss?: number
  /** Milliseconds one way. */
  delay?: number
  /** Milliseconds more that some segments take, and their share. */
  jitter?: number
  late?: number
  /** Segments that one send may carry, and that one acknowledgement stands for. */
  superpacket?: number
  every?: number
  /** Receive window in bytes. */
  window?: number
  /** The receiver throws away what is out of order, with this chance for each segment. */
  renege?: number
  /** Which segments are lost, by their number from 1 on, retransmissions counted too: in place of chance. */
  drop?: (number: number, start: number, end: number) => boolean
  initial?: number
}

export interface Outcome {
  /** Milliseconds. */
  time: number
  segments: number
  /** Bytes sent again. */
  resent: number
  lost: number
  timeouts: number
  probes: number
  recovery: Recovery
  /** What left: time, sequence number from 0 on, whether again. */
  log: { at: number; start: number; again: boolean }[]
}

interface Event { at: number; order: number; run: () => void }

/** A heap by time, then by order. */
class Events {
  #heap: Event[] = []
  #order = 0

  add(at: number, run: () => void): void {
    const heap = this.#heap
    let i = heap.length
    const event = { at, order: this.#order++, run }
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#before(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  take(): Event | null {
    const heap = this.#heap
    if (heap.length === 0) return null
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++
      if (!this.#before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }

  #before(a: Event, b: Event): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }
}

/** Sends `bytes` over the path; throws when nothing happens any more before all has arrived, or when it takes beyond reason. */
export const transfer = (path: Path): Outcome => {
  const { bytes, mss = 1448, sack = true, timestamps = true, congestion = 'cubic', loss = 0, ackLoss = 0, delay = 50 } = path
  const { jitter = 0, late = 0, superpacket = 1, every = 2, window = 4 << 20, renege = 0, initial = 0x7fff0000 } = path
  const random = randomFrom(path.seed ?? 1)
  const events = new Events()
  const first = (initial + 1) | 0
  const recovery = new Recovery({ mss, sack, timestamps, initialSequence: initial, congestion, minRto: 200, initialRto: 1000 })
  const queue = new ReceiveQueue(first)
  const outcome: Outcome = { time: 0, segments: 0, resent: 0, lost: 0, timeouts: 0, probes: 0, recovery, log: [] }
  const range: Range = { start: 0, end: 0 }
  const none = new Int32Array(8)
  let now = 0
  let nxt = first
  let una = first
  let pendingAck = 0
  let delayed = 0
  let echo = 0
  let timerAt = Infinity

  const acknowledge = () => {
    pendingAck = 0
    delayed++
    const blocks = new Int32Array(8)
    const count = sack ? queue.blocks(blocks, timestamps ? 3 : 4) : 0
    const seq = queue.next
    const echoed = echo
    echo = 0
    if (random() < ackLoss) return
    events.add(now + delay, () => {
      const duplicate = seq === una && una !== nxt
      if (((seq - una) | 0) > 0) una = seq
      recovery.acknowledged(seq, blocks, count, timestamps && echoed > 0 ? now - echoed : -1, duplicate, now)
      output()
    })
  }

  const arrive = (start: number, end: number, stamp: number) => {
    if (echo === 0 && ((start - queue.next) | 0) <= 0) echo = stamp
    if (renege > 0 && random() < renege) queue.renege()
    const before = queue.next
    const gaps = queue.gaps
    queue.insert(start, new Uint8Array((end - start) | 0))
    while (queue.read() !== null);
    if (queue.next === before || gaps || queue.gaps || queue.hasDuplicate) {
      acknowledge()
      return
    }
    if (++pendingAck >= every) acknowledge()
    else if (pendingAck === 1) {
      const token = ++delayed
      events.add(now + 40, () => {
        if (token === delayed && pendingAck > 0) acknowledge()
      })
    }
  }

  const leave = (start: number, end: number) => {
    for (let at = start; ((end - at) | 0) > 0; at = (at + mss) | 0) {
      const to = ((end - at) | 0) > mss ? (at + mss) | 0 : end
      const from = at
      const stamp = now
      outcome.segments++
      outcome.log.push({ at: now, start: (from - first) | 0, again: ((from - nxt) | 0) < 0 })
      if (path.drop === undefined ? random() < loss : path.drop(outcome.segments, (from - first) | 0, (to - first) | 0)) {
        outcome.lost++
        continue
      }
      const extra = late > 0 && random() < late ? jitter * random() : 0
      events.add(now + delay + extra, () => arrive(from, to, stamp))
    }
  }

  const resend = (limit: number): boolean => {
    const length = Math.min((range.end - range.start) | 0, limit)
    const end = (range.start + length) | 0
    leave(range.start, end)
    outcome.resent += length
    recovery.resent(range.start, end, now)
    return length > 0
  }

  const sendNew = (limit: number): boolean => {
    const left = bytes - ((nxt - first) | 0)
    const allowed = Math.min(left, limit, window - ((nxt - una) | 0))
    const length = allowed < left && allowed >= mss ? allowed - (allowed % mss) : allowed
    if (length <= 0 || (length < mss && length < left)) return false
    const end = (nxt + length) | 0
    leave(nxt, end)
    recovery.sent(nxt, end, now)
    nxt = end
    return true
  }

  const arm = () => {
    timerAt = recovery.timer
    if (timerAt === Infinity) return
    const at = Math.max(timerAt, now)
    const token = timerAt
    events.add(at, () => {
      if (timerAt !== token || recovery.timer > now) return
      const what = recovery.expired(now)
      if (what === 'rto') outcome.timeouts++
      if (what === 'probe') {
        outcome.probes++
        if (!sendNew(mss)) {
          recovery.lastSegment(range)
          resend(mss)
        }
      }
      output()
    })
  }

  const output = () => {
    for (;;) {
      const room = recovery.room
      if (room <= 0) break
      if (recovery.nextLost(range)) {
        const whole = Math.min(room - (room % mss), superpacket * mss)
        const length = (range.end - range.start) | 0
        if (length > room && whole === 0) break
        resend(length <= room && length <= superpacket * mss ? length : whole)
      } else if (!sendNew(Math.min(room, superpacket * mss))) break
    }
    arm()
  }

  recovery.sent(initial, first, now)
  now = 2 * delay
  recovery.acknowledged(first, none, 0, -1, false, now)
  output()
  for (let event = events.take(); event !== null; event = events.take()) {
    now = event.at
    event.run()
    if (((una - first) | 0) === bytes) {
      outcome.time = now
      return outcome
    }
    if (now > 3_600_000) throw new Error(`not done after an hour: ${(una - first) | 0} of ${bytes}`)
  }
  throw new Error(`stalled at ${(una - first) | 0} of ${bytes}`)
}
