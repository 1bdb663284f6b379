/** Speaks of rules, sets and routes with the data plane: sends edits in pieces, and asks questions. */
import { TsnatError } from '../errors.js'
import type { Ruleset } from '../policy/model.js'
import type { ListMember, SetEdit, SetPage } from '../policy/sets/edits.js'
import { type CounterEdit, type FromPolicy, ruleMessages, type ToPolicy } from '../policy-protocol.js'

/** Elements of set edits that go into one message. */
const ELEMENTS_PER_MESSAGE = 512

const sizeOf = (edit: SetEdit): number => (edit.op === 'add' || edit.op === 'remove' ? edit.elements.addresses.length : 1)

/** Edits of sets as messages of moderate length. */
export function* setMessages(edits: readonly SetEdit[]): Generator<ToPolicy> {
  let gathered: SetEdit[] = []
  let size = 0
  for (const edit of edits) {
    if (size > 0 && size + sizeOf(edit) > ELEMENTS_PER_MESSAGE) {
      yield { type: 'sets', edits: gathered }
      gathered = []
      size = 0
    }
    gathered.push(edit)
    size += sizeOf(edit)
  }
  if (gathered.length > 0) yield { type: 'sets', edits: gathered }
}

/** Memory of a message that nobody needs here any more. */
export const buffersOf = (message: ToPolicy): ArrayBuffer[] => {
  if (message.type !== 'tables') return []
  const { tables, users } = message.image
  const arrays = [users, ...tables.flatMap(([, { nodes, index }]) => (index === null ? [nodes] : [nodes, index]))]
  return arrays.map(({ buffer }) => buffer).filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer)
}

type Answer<T extends FromPolicy['type']> = Extract<FromPolicy, { readonly type: T }>

interface Waiting {
  readonly resolve: (answer: FromPolicy) => void
  readonly reject: (error: Error) => void
}

export class PolicyLink {
  readonly #post: (message: ToPolicy) => void
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #hasEnded = false

  constructor(post: (message: ToPolicy) => void) {
    this.#post = post
  }

  /** Takes what the data plane says. */
  hear(message: FromPolicy): void {
    this.#waiting.get(message.id)?.resolve(message)
    this.#waiting.delete(message.id)
  }

  /** The data plane is gone: nobody answers any more. */
  end(): void {
    this.#hasEnded = true
    for (const { reject } of this.#waiting.values()) reject(gone())
    this.#waiting.clear()
  }

  send(messages: Iterable<ToPolicy>): void {
    for (const message of messages) this.#post(message)
  }

  /** Resolves when the rules are in effect. @param sets names and ids of all sets */
  async useRules(ruleset: Ruleset, sets: readonly (readonly [string, number])[]): Promise<void> {
    await this.#ask('rules-taken', (id) => ruleMessages(id, ruleset, sets))
  }

  setCounters(counters: readonly CounterEdit[]): Promise<void> {
    this.#post({ type: 'set-counters', counters })
    return this.sync()
  }

  /** Resolves when all that was sent is in effect. */
  async sync(): Promise<void> {
    await this.#ask('synced', (id) => [{ type: 'sync', id }])
  }

  /** Packets and bytes, by id of a rule or chain. */
  async counters(): Promise<(id: number) => { packets: number; bytes: number } | undefined> {
    const { ids, counters } = await this.#ask('counted', (id) => [{ type: 'counters', id }])
    const places = new Map([...ids].map((id, place) => [id, place]))
    return (id) => {
      const place = places.get(id)
      return place === undefined ? undefined : { packets: counters[place * 2]!, bytes: counters[place * 2 + 1]! }
    }
  }

  /** All elements of a set, page by page. */
  async elements(set: number): Promise<SetPage['elements'][]> {
    const pages: SetPage['elements'][] = []
    for (let from = 0; from >= 0;) {
      const { page } = await this.#ask('set-page', (id) => [{ type: 'set-page', id, set, from }])
      if (page === null) break
      pages.push(page.elements)
      from = page.next
    }
    return pages
  }

  async members(set: number): Promise<readonly ListMember[]> {
    return (await this.#ask('set-members', (id) => [{ type: 'set-members', id, set }])).members ?? []
  }

  async #ask<T extends FromPolicy['type']>(_: T, messages: (id: number) => Iterable<ToPolicy>): Promise<Answer<T>> {
    if (this.#hasEnded) throw gone()
    const id = this.#nextId++
    const answer = new Promise<FromPolicy>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    this.send(messages(id))
    return (await answer) as Answer<T>
  }
}

const gone = (): TsnatError =>
  new TsnatError('the data plane has ended', { code: 'STOPPING', hint: 'the gateway is being stopped; see its log' })
