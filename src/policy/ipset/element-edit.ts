/** `add`, `del` and `test` of elements. A command that fails has changed nothing, whatever range it was given. */
import { maskOf } from '../../stack/wire/address.js'
import { ELEMENTS_MAX } from '../sets/edits.js'
import type { SetsDraft } from './draft.js'
import { type ElementKey, type ElementRange, keyText, networkText, parseElements } from './elements.js'
import { invalidError } from './error.js'
import { type ElementOptions, parseElementOptions } from './options.js'
import { type ElementSet, isLive, type SetElement } from './state.js'
import type { Word } from './words.js'

const HOST = 32
/** Elements that one word may stand for. */
const RANGE_MAX = 1 << 20

type Elements = ReadonlyMap<string, SetElement>

/** The element that a key stands for, with its text: itself, or one with a wildcard that its interface begins with. */
const findElement = (elements: Elements, { kind }: ElementSet, key: ElementKey): [string, SetElement] | undefined => {
  const text = keyText(kind, key)
  const exact = elements.get(text)
  if (exact !== undefined) return [text, exact]
  for (let length = key.interface.length - 1; length > 0; length--) {
    const shorter = keyText(kind, { ...key, interface: key.interface.slice(0, length) })
    const element = elements.get(shorter)
    if (element?.wildcard === true) return [shorter, element]
  }
  return undefined
}

const newElement = (draft: SetsDraft, set: ElementSet, key: ElementKey, options: ElementOptions, old: SetElement | undefined): SetElement => {
  const seconds = options.timeout ?? set.options.timeout ?? 0
  return {
    address: old?.address ?? key.address, part: old?.part ?? key.part,
    interface: old?.interface ?? key.interface, physdev: old?.physdev ?? key.physdev,
    wildcard: old?.wildcard ?? options.wildcard,
    nomatch: options.nomatch,
    expires: seconds === 0 ? 0 : draft.context.now + seconds * 1000,
    packets: options.packets ?? old?.packets ?? 0,
    bytes: options.bytes ?? old?.bytes ?? 0,
    comment: options.comment,
  }
}

const checkSize = (entry: Word, { count }: ElementRange): void => {
  if (count > RANGE_MAX) throw invalidError(entry, `"${entry.text}" stands for ${count} elements`, `at most ${RANGE_MAX}, or a set of networks`)
}

/** @param exist elements that are there get timeout, comment and `nomatch` anew, and the counters that are given */
export const addElements = (draft: SetsDraft, set: ElementSet, entry: Word, rest: readonly Word[], exist: boolean): void => {
  const range = parseElements(entry, set.kind, set.options, false)
  const options = parseElementOptions('add', set.kind, set.options, rest)
  const limit = Math.min(set.options.maxElements, ELEMENTS_MAX)
  const full = (): Error => invalidError(entry, `set "${set.name}" is full: ${limit} elements`, 'create it with a larger "maxelem"')
  if (range.count > limit) throw full()
  checkSize(entry, range)
  const elements = draft.elements(set.name)
  const seen = new Set<string>()
  for (const key of range.keys()) {
    const found = findElement(elements, set, key)
    const text = found?.[0] ?? keyText(set.kind, key)
    if (seen.has(text)) continue
    seen.add(text)
    const old = found?.[1]
    if (old !== undefined && !exist) throw invalidError(entry, `${text} is in set "${set.name}" already`, 'with -exist it is no error')
    if (old === undefined && elements.size >= limit) {
      const oldest = set.options.forceAdd ? elements.entries().next().value : undefined
      if (oldest === undefined) throw full()
      elements.delete(oldest[0])
      draft.edits.element('remove', set, oldest[1])
    }
    const element = newElement(draft, set, key, options, old)
    elements.set(text, element)
    draft.edits.element('add', set, element, old !== undefined && options.packets === null, old !== undefined && options.bytes === null)
  }
}

/** @param exist elements that are not there are no error */
export const removeElements = (draft: SetsDraft, set: ElementSet, entry: Word, rest: readonly Word[], exist: boolean): void => {
  const range = parseElements(entry, set.kind, set.options, false)
  parseElementOptions('del', set.kind, set.options, rest)
  const elements = draft.elements(set.name)
  const remove = (text: string, element: SetElement): void => {
    elements.delete(text)
    draft.edits.element('remove', set, element)
  }
  const isHost = set.kind === 'hash:ip' || set.kind === 'hash:ip,port'
  if (exist && isHost && range.count > Math.max(1, elements.size) && set.options.bitmask === null) {
    for (const [text, element] of elements) if (range.holds(element)) remove(text, element)
    return
  }
  if (exist) checkSize(entry, range)
  const seen = new Set<string>()
  for (const key of range.keys()) {
    const own = keyText(set.kind, key)
    if (seen.has(own)) continue
    seen.add(own)
    const found = findElement(elements, set, key)
    if (found !== undefined) remove(...found)
    else if (!exist) throw invalidError(entry, `${own} is not in set "${set.name}"`, 'with -exist it is no error')
  }
}

/** The element that decides for a host: that of the most specific network. See SetTable for networks with interfaces. */
const matchHost = (elements: Elements, set: ElementSet, key: ElementKey): SetElement | undefined => {
  const networks = new Set<string>()
  if (set.kind === 'hash:net,iface') for (const { address, part } of elements.values()) networks.add(networkText(address, part))
  for (let length = HOST; length >= 0; length--) {
    const at = { ...key, address: key.address & maskOf(length), part: length }
    const found = findElement(elements, set, at)
    if (found !== undefined) return found[1]
    if (networks.has(networkText(at.address, length))) return undefined
  }
  return undefined
}

/** Whether an element is in the set, or, with the word `nomatch`, is taken out of it; and how it is called. */
export const testElement = (draft: SetsDraft, set: ElementSet, entry: Word, rest: readonly Word[]): { text: string; isIn: boolean } => {
  const [key] = parseElements(entry, set.kind, set.options, true).keys()
  const options = parseElementOptions('test', set.kind, set.options, rest)
  const live = new Map([...set.elements].filter(([, element]) => isLive(element, draft.context.now)))
  const isNet = set.kind === 'hash:net' || set.kind === 'hash:net,iface'
  const element = isNet && key!.part === HOST ? matchHost(live, set, key!) : findElement(live, set, key!)?.[1]
  return { text: keyText(set.kind, key!), isIn: element !== undefined && element.nomatch === options.nomatch }
}
