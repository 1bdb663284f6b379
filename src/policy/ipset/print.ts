/** Sets as text: `list` and `save`, in the layout of ipset 7. */
import { formatIpv4 } from '../../stack/wire/address.js'
import { type ElementSetDefinition, LIST_KIND, type SetKind } from '../sets/edits.js'
import { bytesOfSet } from '../sets/layout.js'
import { definitionOf, type SetsDraft } from './draft.js'
import { isLive, type NamedSet, secondsLeft, type SetElement } from './state.js'

export interface Listing {
  readonly format: 'plain' | 'save'
  readonly content: 'all' | 'headers' | 'names'
  readonly sorted: boolean
}

/** The revision of each kind whose words these are; programs ask for it. */
const REVISIONS: Readonly<Record<SetKind, number>> = { 'hash:ip': 6, 'hash:net': 7, 'hash:ip,port': 7, 'hash:net,iface': 8, 'list:set': 3 }
const BYTES_PER_MEMBER = 32

const flagsText = (set: NamedSet): string => {
  const { timeout, counters, comment } = set.options
  return `${timeout === null ? '' : ` timeout ${timeout}`}${counters ? ' counters' : ''}${comment ? ' comment' : ''}`
}

/** Options as they stand behind the type. ipset leaves out "forceadd", which a saved set would thus lose; here it is kept. */
const headerText = (set: NamedSet): string => {
  if (set.kind === LIST_KIND) return `size ${set.options.size}${flagsText(set)}`
  const { hashSize, maxElements, netmask, bitmask, forceAdd, bucketSize, initval } = set.options
  const mask = `${netmask === null ? '' : ` netmask ${netmask}`}${bitmask === null ? '' : ` bitmask ${formatIpv4(bitmask)}`}`
  const [early, late] = set.kind === 'hash:ip' ? [mask, ''] : ['', mask]
  const index = `bucketsize ${bucketSize} initval 0x${initval.toString(16).padStart(8, '0')}`
  return `family inet hashsize ${hashSize} maxelem ${maxElements}${early}${flagsText(set)}${forceAdd ? ' forceadd' : ''} ${index}${late}`
}

interface Entry {
  readonly text: string
  readonly expires: number
  readonly flags: string
  readonly packets: number
  readonly bytes: number
  readonly comment: string | null
}

const elementEntry = (text: string, element: SetElement): Entry =>
  ({ ...element, text, flags: `${element.nomatch ? ' nomatch' : ''}${element.wildcard ? ' wildcard' : ''}` })

/** By address, then by prefix length or protocol and port, then as they came. */
const inOrder = ([, a]: [string, SetElement], [, b]: [string, SetElement]): number =>
  (a.address >>> 0) - (b.address >>> 0) || a.part - b.part

const entriesOf = (set: NamedSet, sorted: boolean, now: number): Entry[] => {
  if (set.kind === LIST_KIND) return set.members.filter((member) => isLive(member, now)).map((member) => ({ ...member, text: member.name, flags: '' }))
  const live = [...set.elements].filter(([, element]) => isLive(element, now))
  return (sorted ? live.sort(inOrder) : live).map(([text, element]) => elementEntry(text, element))
}

const entryText = (set: NamedSet, { text, expires, flags, packets, bytes, comment }: Entry, now: number): string => {
  const { timeout, counters } = set.options
  return `${text}${timeout === null ? '' : ` timeout ${secondsLeft(expires, now)}`}${flags}` +
    `${counters ? ` packets ${packets} bytes ${bytes}` : ''}${comment === null ? '' : ` comment "${comment}"`}`
}

const memoryOf = (set: NamedSet, entries: number): number =>
  set.kind === LIST_KIND ? entries * BYTES_PER_MEMBER : bytesOfSet(definitionOf(set) as ElementSetDefinition, entries)

const plainText = (draft: SetsDraft, set: NamedSet, { content, sorted }: Listing): string => {
  const { now } = draft.context
  if (content === 'names') return `${set.name}\n`
  const entries = entriesOf(set, sorted, now)
  const header = [
    `Name: ${set.name}`, `Type: ${set.kind}`, `Revision: ${REVISIONS[set.kind]}`, `Header: ${headerText(set)}`,
    `Size in memory: ${memoryOf(set, entries.length)}`, `References: ${draft.references(set.name)}`, `Number of entries: ${entries.length}`,
  ]
  const members = content === 'headers' ? [] : ['Members:', ...entries.map((entry) => entryText(set, entry, now))]
  return `${[...header, ...members].join('\n')}\n`
}

const saveText = (set: NamedSet, sorted: boolean, now: number): string => [
  `create ${set.name} ${set.kind} ${headerText(set)}`,
  ...entriesOf(set, sorted, now).map((entry) => `add ${set.name} ${entryText(set, entry, now)}`),
].join('\n') + '\n'

/** @param set undefined: all sets */
export const listSets = (draft: SetsDraft, set: NamedSet | undefined, listing: Listing): string => {
  const sets = set === undefined ? draft.all() : [set]
  if (listing.format === 'save') return sets.map((each) => saveText(each, listing.sorted, draft.context.now)).join('')
  return sets.map((each) => plainText(draft, each, listing)).join(listing.content === 'names' ? '' : '\n')
}
