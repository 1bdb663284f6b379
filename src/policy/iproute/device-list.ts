/**
 * `ip address show` and `ip link show`: tsnat's interfaces, as far as routing knows them. They are the kernel's, so nothing of them is
 * changed here; what routing does not ask for (MTU, queues, Ethernet addresses) is left out of the lines.
 */
import type { Device } from '../../route/connected.js'
import { LOOPBACK } from '../../route/connected.js'
import type { InterfaceAddress } from '../../route/source.js'
import { Scope } from '../../route/types.js'
import { formatIpv4, maskOf } from '../../stack/wire/address.js'
import type { Word } from './error.js'
import { IpError, IpStatus } from './error.js'
import { nameOf } from './names.js'
import type { Json } from './printed.js'
import { Printed } from './printed.js'
import type { IpState } from './state.js'
import type { PrefixValue } from './values.js'
import { prefix, scope } from './values.js'
import type { Cursor } from './words.js'
import { exactly, orShort, readWords } from './words.js'

export interface DeviceLayout {
  readonly json: boolean
  readonly oneLine: boolean
  readonly brief: boolean
}

type Surroundings = Pick<IpState, 'names' | 'devices'>

interface AddressSelection {
  /** Null: all. */
  device: Device | null
  onlyUp: boolean
  scope: number | null
  primary: boolean | null
  within: PrefixValue | null
}

/** What iproute2 prints for an address without an end. */
const FOREVER = 'valid_lft forever preferred_lft forever'
const FOREVER_SECONDS = 0xffffffff

const deviceNamed = (word: Word, devices: readonly Device[]): Device => {
  const device = devices.find(({ name }) => name === word.text)
  if (device === undefined) throw new IpError(`Device "${word.text}" does not exist.`, { code: 'POLICY_REFUSED', status: IpStatus.failure, word })
  return device
}

const stateName = ({ number, up }: Device): string => (number === LOOPBACK ? 'UNKNOWN' : up ? 'UP' : 'DOWN')
const flagsOf = ({ number, up }: Device): string[] => [...(number === LOOPBACK ? ['LOOPBACK'] : []), ...(up ? ['UP', 'LOWER_UP'] : [])]
const scopeOf = ({ address }: InterfaceAddress): number => (address >>> 24 === 127 ? Scope.host : Scope.global)
const isSelected = (own: InterfaceAddress, { scope: near, primary, within }: AddressSelection): boolean =>
  (near === null || scopeOf(own) === near) && (primary === null || own.primary === primary)
  && (within === null || ((own.address ^ within.address) & maskOf(within.length)) === 0)

/** The other end; null where there is none: then the kernel repeats the address itself. */
const peerOf = ({ address, peer = address }: InterfaceAddress): string | null => (peer === address ? null : formatIpv4(peer))

const prefixText = (own: InterfaceAddress): string => {
  const peer = peerOf(own)
  return `${formatIpv4(own.address)}${peer === null ? '' : ` peer ${peer}`}/${own.prefixLength}`
}

/** `10.0.0.1/24 scope global eth0`, and the line below. */
const addressText = (own: InterfaceAddress, device: Device, { names }: Surroundings): string =>
  `inet ${prefixText(own)} scope ${nameOf(names, 'scopes', scopeOf(own))} ${own.primary ? '' : 'secondary '}${device.name}\n       ${FOREVER}`

const addressJson = (own: InterfaceAddress, device: Device, { names }: Surroundings): Json => {
  const { address, prefixLength, primary } = own
  const peer = peerOf(own)
  const json: Record<string, Json> = { family: 'inet', local: formatIpv4(address) }
  if (peer !== null) json['address'] = peer
  json['prefixlen'] = prefixLength
  json['scope'] = nameOf(names, 'scopes', scopeOf(own))
  if (!primary) json['secondary'] = true
  return { ...json, label: device.name, valid_life_time: FOREVER_SECONDS, preferred_life_time: FOREVER_SECONDS }
}

const printLink = (device: Device, brief: boolean): Printed => {
  const printed = new Printed()
  const flags = flagsOf(device)
  const { number, name } = device
  if (brief) {
    printed.add(name.padEnd(17), 'ifname', name)
    printed.add(stateName(device).padEnd(15), 'operstate', stateName(device))
    return printed
  }
  printed.add(`${number}: `, 'ifindex', number)
  printed.add(`${name}: `, 'ifname', name)
  printed.add(`<${flags.join(',')}> `, 'flags', flags)
  printed.add(`state ${stateName(device)}`, 'operstate', stateName(device))
  return printed
}

/** `ip link show`. @throws IpError */
export const listLinks = (cursor: Cursor, { devices }: Surroundings, { brief }: DeviceLayout): readonly Printed[] => {
  let wanted: Device | null = null
  let onlyUp = false
  const choose = (word: Word): boolean => {
    wanted = deviceNamed(word, devices)
    return true
  }
  readWords(cursor, 'ip link show', [
    exactly('dev', (at) => { choose(at.take()) }),
    exactly('up', () => { onlyUp = true }),
  ], choose)
  return devices.filter((device) => (wanted === null || device === wanted) && (!onlyUp || device.up)).map((device) => {
    const printed = printLink(device, brief)
    const flags = flagsOf(device)
    if (brief) printed.add(`<${flags.join(',')}> `, 'flags', flags)
    return printed
  })
}

const readAddressSelection = (cursor: Cursor, { devices, names }: Surroundings): AddressSelection => {
  const selection: AddressSelection = { device: null, onlyUp: false, scope: null, primary: null, within: null }
  const choose = (word: Word): boolean => {
    selection.device = deviceNamed(word, devices)
    return true
  }
  readWords(cursor, 'ip address show', [
    exactly('to', (at) => { selection.within = prefix(at.take()) }),
    exactly('scope', (at) => { selection.scope = at.takeIf('all') ? null : scope(at.take(), names) }),
    exactly('up', () => { selection.onlyUp = true }),
    exactly('primary', () => { selection.primary = true }),
    orShort('secondary', () => { selection.primary = false }),
    exactly('dev', (at) => { choose(at.take()) }),
  ], choose)
  return selection
}

/** Interfaces whose addresses do not fit are left out, when something was asked of addresses. */
const chosen = (devices: readonly Device[], selection: AddressSelection): [Device, readonly InterfaceAddress[]][] => {
  const { device: wanted, onlyUp, scope: near, primary, within } = selection
  const asksAddresses = near !== null || primary !== null || within !== null
  return devices.filter((device) => (wanted === null || device === wanted) && (!onlyUp || device.up))
    .map((device): [Device, readonly InterfaceAddress[]] => [device, device.addresses.filter((own) => isSelected(own, selection))])
    .filter(([, addresses]) => !asksAddresses || addresses.length > 0)
}

/** `ip address show`. @throws IpError */
export const listAddresses = (cursor: Cursor, surroundings: Surroundings, { json, oneLine, brief }: DeviceLayout): readonly Printed[] => {
  const found = chosen(surroundings.devices, readAddressSelection(cursor, surroundings))
  if (oneLine && !json && !brief) {
    return found.flatMap(([device, addresses]) => addresses.map((own) => {
      const printed = new Printed()
      printed.add(`${device.number}: ${device.name}    ${addressText(own, device, surroundings)}`)
      return printed
    }))
  }
  return found.map(([device, addresses]) => {
    const printed = printLink(device, brief)
    if (brief) {
      printed.add(addresses.map((own) => `${prefixText(own)} `).join(''), 'addr_info', addresses.map(({ address, prefixLength }) => ({ local: formatIpv4(address), prefixlen: prefixLength })))
    } else {
      const text = addresses.map((own) => `\n    ${addressText(own, device, surroundings)}`).join('')
      printed.add(text, 'addr_info', addresses.map((own) => addressJson(own, device, surroundings)))
    }
    return printed
  })
}
