/** What is told to one reader: whoever has something pushes it, the reader takes it when it likes. */

export interface OutboxOptions<T> {
  /** What an item counts; default 1. */
  readonly cost?: (item: T) => number
  /** How much may wait before `push` says that it is enough. */
  readonly limit: number
}

export class Outbox<T> implements AsyncIterable<T> {
  /** Called when there is room again after `push` had said that there is none. */
  onRoom: () => void = () => {}
  readonly #cost: (item: T) => number
  readonly #limit: number
  readonly #waiting: T[] = []
  #total = 0
  #isEnded = false
  #wake: () => void = () => {}

  constructor({ cost = () => 1, limit }: OutboxOptions<T>) {
    this.#cost = cost
    this.#limit = limit
  }

  /** Nothing more is taken. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** There is as much as may wait. */
  get isFull(): boolean {
    return this.#total >= this.#limit
  }

  /** Takes an item, even when there is no room. Returns whether there is room for more. */
  push(item: T): boolean {
    if (this.#isEnded) return false
    this.#waiting.push(item)
    this.#total += this.#cost(item)
    this.#wake()
    return !this.isFull
  }

  /** The reader gets what waits, and then the end. */
  end(): void {
    this.#isEnded = true
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const batch = this.#waiting.splice(0)
      for (const item of batch) {
        yield item
        const wasFull = this.isFull
        this.#total -= this.#cost(item)
        if (wasFull && !this.isFull) this.onRoom()
      }
      if (this.#waiting.length > 0) continue
      if (this.#isEnded) return
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
