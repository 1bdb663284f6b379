/** A sender whose segments go nowhere: tests say what is acknowledged, and when. */
import { Recovery, type RecoveryOptions } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'

export const MSS = 1000
export const ISS = 0x7ffffff0

/** A sender in segments of MSS, numbered from 0 on. */
export class Sender {
  readonly recovery: Recovery
  now = 0
  next = 0
  /** Numbers of segments that left, lost ones sent again included. */
  left: number[] = []
  /** Sends new data as far as there is room; else only what is asked for. */
  limit = Infinity

  constructor(options: Partial<RecoveryOptions> = {}, rtt = 100) {
    this.recovery = new Recovery({
      mss: MSS, sack: true, timestamps: false, initialSequence: ISS, congestion: 'new-reno', minRto: 200, initialRto: 1000, ...options,
    })
    this.recovery.sent(ISS, this.#seq(0), this.now)
    if (rtt < 0) return
    this.now = rtt
    this.acknowledge(0)
  }

  /** Sends what may be sent, and says which segments that were. */
  send(count = Infinity): number[] {
    const range = { start: 0, end: 0 }
    const { recovery } = this
    const left: number[] = []
    while (left.length < count) {
      if (recovery.room < MSS) break
      if (recovery.nextLost(range)) {
        recovery.resent(range.start, (range.start + MSS) | 0, this.now)
        left.push(((range.start - this.#seq(0)) | 0) / MSS)
      } else if (this.next < this.limit) {
        recovery.sent(this.#seq(this.next), this.#seq(this.next + 1), this.now)
        left.push(this.next++)
      } else break
    }
    this.left.push(...left)
    return left
  }

  /** @param una segments that are acknowledged  @param blocks pairs of segments, the second not included */
  acknowledge(una: number, blocks: [number, number][] = [], rtt = -1): number {
    const sacks = new Int32Array(8)
    for (const [i, [left, right]] of blocks.entries()) sacks.set([this.#seq(left), this.#seq(right)], 2 * i)
    const duplicate = this.#una === una
    this.#una = Math.max(this.#una, una)
    this.recovery.acknowledged(this.#seq(una), sacks, blocks.length, rtt, duplicate && this.recovery.flight > 0, this.now)
    return this.recovery.cwnd / MSS
  }

  /** Lets the time of the timer come. */
  expire() {
    this.now = this.recovery.timer
    return this.recovery.expired(this.now)
  }

  #una = -1
  #seq(segment: number): number {
    return (ISS + 1 + segment * MSS) | 0
  }
}
