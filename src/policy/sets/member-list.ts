/** A set of sets in the data plane: ids of its members in order, each with its own timeout and counters. */
import type { ListDefinition, ListMember } from './edits.js'
import { holds, type MatchOptions } from './query.js'

export class MemberList {
  readonly definition: ListDefinition
  readonly ids: number[] = []
  /** Milliseconds on the clock, 0: never. */
  readonly #expiry: number[] = []
  readonly #packets: number[] = []
  readonly #bytes: number[] = []

  constructor(definition: ListDefinition) {
    this.definition = definition
  }

  get count(): number {
    return this.ids.length
  }

  flush(): void {
    for (const column of [this.ids, this.#expiry, this.#packets, this.#bytes]) column.length = 0
  }

  replace(members: readonly ListMember[], now: number): void {
    this.flush()
    for (const { id, milliseconds, packets, bytes } of members) {
      this.ids.push(id)
      this.#expiry.push(milliseconds === 0 ? 0 : now + milliseconds)
      this.#packets.push(packets)
      this.#bytes.push(bytes)
    }
  }

  /** Members that have not expired. */
  export(now: number): ListMember[] {
    return this.ids.map((id, index) => {
      const expiry = this.#expiry[index]!
      return { id, milliseconds: expiry === 0 ? 0 : expiry - now, packets: this.#packets[index]!, bytes: this.#bytes[index]! }
    }).filter((_, index) => !this.isExpired(index, now))
  }

  isExpired(index: number, now: number): boolean {
    const expiry = this.#expiry[index]!
    return expiry !== 0 && now >= expiry
  }

  /** Whether a member that holds the packet has counted what the rule wants; counts first. */
  accepts(index: number, length: number, { updateCounters, packets, bytes }: MatchOptions): boolean {
    if (!this.definition.counters) return true
    if (updateCounters) {
      this.#packets[index]!++
      this.#bytes[index]! += length
    }
    return (packets === null || holds(packets, this.#packets[index]!)) && (bytes === null || holds(bytes, this.#bytes[index]!))
  }
}
