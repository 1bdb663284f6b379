/** Targets of table nat: SNAT, DNAT, MASQUERADE, REDIRECT, NETMAP. */
import type { DnatTarget, MasqueradeTarget, NetmapTarget, Range, RedirectTarget, SnatTarget } from '../../model.js'
import { syntaxError } from '../error.js'
import { firstOf, join, onlyFor, onlyFrom, onlyIn, type TargetExtension, type Where, WITH_PORTS } from '../extension.js'
import { flag, value } from '../options.js'
import { addressRangeText, networkText, parseAddressRange, parseNetwork, parsePort, parsePortRange, prefixLength, rangeText } from '../values.js'
import type { Word } from '../words.js'

/** ICMP's identifiers count as ports here. */
const PORTED = { ...WITH_PORTS, icmp: 1 }

const portsAllowed = (ports: Range | null, where: Where): string | null =>
  ports === null ? null : onlyFor('a range of ports', where, PORTED)

interface Destination {
  readonly addresses: Range | null
  readonly ports: Range | null
  readonly base: number | null
}

/** `[address[-address]][:port[-port[/base]]]` */
const parseDestination = (word: Word, withBase: boolean): Destination => {
  const colon = word.text.indexOf(':')
  if (word.text.includes('[') || colon !== word.text.lastIndexOf(':')) {
    throw syntaxError(word, `"${word.text}" is no address with ports`, 'ADDRESS[-ADDRESS][:PORT[-PORT]], IPv4 only')
  }
  const addressText = colon < 0 ? word.text : word.text.slice(0, colon)
  if (addressText === '' && colon < 0) throw syntaxError(word, 'the address is empty', 'ADDRESS[-ADDRESS][:PORT[-PORT]]')
  const [portText, baseText] = colon < 0 ? [] : word.text.slice(colon + 1).split(/\/(.*)/s)
  if (baseText !== undefined && !withBase) throw syntaxError(word, `"${word.text}" has a base port`, 'only DNAT takes PORT-PORT/BASE')
  if (baseText !== undefined && !portText!.includes('-')) throw syntaxError(word, `"${word.text}" has a base port without a range`, 'PORT-PORT/BASE')
  return {
    addresses: addressText === '' ? null : parseAddressRange(word, addressText),
    ports: portText === undefined ? null : parsePortRange(word, '-', portText),
    base: baseText === undefined ? null : parsePort(word, baseText),
  }
}

/** A range with a base keeps both ends, so that it reads as one. */
const destinationText = ({ addresses, ports, base }: Destination): string => {
  const portText = ports === null ? '' : base === null ? `:${rangeText(ports, '-')}` : `:${ports.first}-${ports.last}/${base}`
  return `${addresses === null ? '' : addressRangeText(addresses)}${portText}`
}

const flagWords = (target: { random: boolean; randomFully?: boolean; persistent?: boolean }, dashes: '--' | ''): string | null => join(
  target.random && `${dashes}random`,
  target.randomFully === true && `${dashes}random-fully`,
  target.persistent === true && `${dashes}persistent`,
) || null

export const snat: TargetExtension<SnatTarget> = {
  name: 'SNAT',
  options: [value('to-source'), flag('random'), flag('random-fully'), flag('persistent')],
  parse: (given) => {
    const { addresses, ports } = given.need('to-source', (word) => parseDestination(word, false))
    return {
      kind: 'SNAT', addresses, ports,
      random: given.has('random'), randomFully: given.has('random-fully'), persistent: given.has('persistent'),
    }
  },
  save: (target) => join(`--to-source ${destinationText({ ...target, base: null })}`, flagWords(target, '--')),
  list: (target) => join(`to:${destinationText({ ...target, base: null })}`, flagWords(target, '')),
  check: ({ ports }, where) =>
    firstOf(onlyIn('SNAT', where, 'nat'), onlyFrom('SNAT', where, ['INPUT', 'POSTROUTING']), portsAllowed(ports, where)),
}

export const dnat: TargetExtension<DnatTarget> = {
  name: 'DNAT',
  options: [value('to-destination'), flag('random'), flag('persistent')],
  parse: (given) => ({
    kind: 'DNAT', ...given.need('to-destination', (word) => parseDestination(word, true)),
    random: given.has('random'), persistent: given.has('persistent'),
  }),
  save: (target) => join(`--to-destination ${destinationText(target)}`, flagWords(target, '--')),
  list: (target) => join(`to:${destinationText(target)}`, flagWords(target, '')),
  check: ({ ports }, where) =>
    firstOf(onlyIn('DNAT', where, 'nat'), onlyFrom('DNAT', where, ['PREROUTING', 'OUTPUT']), portsAllowed(ports, where)),
}

export const masquerade: TargetExtension<MasqueradeTarget> = {
  name: 'MASQUERADE',
  options: [value('to-ports'), flag('random'), flag('random-fully')],
  parse: (given) => ({
    kind: 'MASQUERADE',
    ports: given.read('to-ports', (word) => parsePortRange(word, '-')),
    random: given.has('random'), randomFully: given.has('random-fully'),
  }),
  save: (target) => join(target.ports !== null && `--to-ports ${rangeText(target.ports, '-')}`, flagWords(target, '--')),
  list: (target) => join(target.ports !== null && `masq ports: ${rangeText(target.ports, '-')}`, flagWords(target, '')),
  check: ({ ports }, where) =>
    firstOf(onlyIn('MASQUERADE', where, 'nat'), onlyFrom('MASQUERADE', where, ['POSTROUTING']), portsAllowed(ports, where)),
}

export const redirect: TargetExtension<RedirectTarget> = {
  name: 'REDIRECT',
  options: [value('to-ports'), flag('random')],
  parse: (given) => ({ kind: 'REDIRECT', ports: given.read('to-ports', (word) => parsePortRange(word, '-')), random: given.has('random') }),
  save: (target) => join(target.ports !== null && `--to-ports ${rangeText(target.ports, '-')}`, flagWords(target, '--')),
  list: (target) => join(target.ports !== null && `redir ports ${rangeText(target.ports, '-')}`, flagWords(target, '')),
  check: ({ ports }, where) =>
    firstOf(onlyIn('REDIRECT', where, 'nat'), onlyFrom('REDIRECT', where, ['PREROUTING', 'OUTPUT']), portsAllowed(ports, where)),
}

export const netmap: TargetExtension<NetmapTarget> = {
  name: 'NETMAP',
  options: [value('to')],
  parse: (given) => given.need('to', (word) => {
    const network = parseNetwork(word)
    if (prefixLength(network.mask) === undefined) throw syntaxError(word, `the mask of "${word.text}" has holes`, 'NETMAP needs a prefix: ADDRESS/LENGTH')
    return { kind: 'NETMAP', ...network }
  }),
  save: ({ address, mask }) => `--to ${networkText(address, mask)}`,
  list: ({ address, mask }) => `to:${networkText(address, mask)}`,
  check: (_, where) => firstOf(
    onlyIn('NETMAP', where, 'nat'), onlyFrom('NETMAP', where, ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING']),
  ),
}
