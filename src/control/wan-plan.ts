/**
 * From what the kernel says of a WAN to what the data plane gets: which addresses flows may have, and for each route the
 * next hop and the source.
 */
import type { UplinkConfig } from '../config-wan.js'
import type { Config } from '../config.js'
import { ExitCode, TsnatError } from '../errors.js'
import type { Network } from '../host/guard-rules.js'
import type { WanState } from '../host/wan.js'
import { chooseSource, type InterfaceAddress } from '../route/source.js'
import type { Route } from '../route/table.js'
import { formatIpv4, maskOf, parseIpv4, parsePrefix } from '../stack/wire/address.js'
import type { WanSettings } from '../worker-protocol.js'
import { exclusiveAddresses, ownedAddresses, poolAddresses } from './outside-plan.js'

/** RT_SCOPE_LINK: addresses of this scope and beyond are for the link only, not for going out. */
const SCOPE_LINK = 253

/** Networks of inside hosts whose addresses go out as they are, for some remotes or all; each once. */
export const untranslatedNetworks = ({ nat }: Pick<Config, 'nat'>): Network[] => {
  const texts = nat.rules.flatMap(({ from, translate }) => (translate === false && from !== undefined ? [from] : []))
  return [...new Set(texts)].flatMap((text) => parsePrefix(text) ?? []).map(({ address, mask }) => ({ address, mask }))
}

/** @throws TsnatError ADDRESS_CLASH when the kernel has an address that is to be tsnat's alone */
export const requireUnowned = (state: WanState, exclusive: readonly number[]): void => {
  const wanted = new Set(exclusive)
  const clash = state.addresses.find(({ address }) => wanted.has(address))
  if (clash === undefined) return
  throw new TsnatError(`${formatIpv4(clash.address)} is to be tsnat's own address, but the kernel has it on ${state.name}`, {
    code: 'ADDRESS_CLASH',
    hint: `remove it there (ip address del ${formatIpv4(clash.address)}/${clash.prefixLength} dev ${state.name}), or share it: --wan-address shared`,
    exitCode: ExitCode.config,
  })
}

/** A route to everywhere by a next hop that the configuration names. */
const defaultBy = (gateway: number | null, source: (nextHop: number) => number): Route[] =>
  gateway === null ? [] : [{ destination: 0, prefixLength: 0, gateway, source: source(gateway) }]

/** Routes of addresses that the kernel does not have: their subnets on the link, all else by the gateway. */
const ownedRoutes = (state: WanState, owned: readonly InterfaceAddress[], gateway: number | null): Route[] => {
  const source = (nextHop: number): number => chooseSource(owned, nextHop)
  const links = owned.map(({ address, prefixLength }) => ({
    destination: address & maskOf(prefixLength), prefixLength, gateway: null, source: address,
  }))
  const kernels = state.routes.map(({ destination, prefixLength, gateway: via }) => ({
    destination, prefixLength, gateway: via, source: source(via ?? destination),
  }))
  return [...defaultBy(gateway, source), ...links, ...kernels]
}

/** Everything the data plane needs to know of a WAN in this state. */
export const planWan = (state: WanState, wan: UplinkConfig, config: Pick<Config, 'wans' | 'nat'>): WanSettings => {
  const { up, enabled, mtu } = state
  const gateway = wan.gateway === null ? null : parseIpv4(wan.gateway)
  const owned = ownedAddresses(wan)
  if (owned !== null) return { up, enabled, mtu, addresses: exclusiveAddresses(config, wan)!, routes: ownedRoutes(state, owned, gateway), sources: owned }
  const usable = state.addresses.filter(({ scope }) => scope < SCOPE_LINK)
  const source = (nextHop: number): number => chooseSource(usable, nextHop)
  const kernels = state.routes.map(({ destination, prefixLength, gateway: via }) => ({ destination, prefixLength, gateway: via, source: source(via ?? destination) }))
  return { up, enabled, mtu, addresses: usable.map(({ address }) => address), routes: [...defaultBy(gateway, source), ...kernels], sources: usable }
}

/** Addresses of the pool that no WAN has (int32): they are not used until one does. */
export const missingFromPool = (wans: readonly WanSettings[], config: Pick<Config, 'nat'>): number[] => {
  const present = new Set(wans.flatMap(({ addresses }) => addresses))
  return (poolAddresses(config) ?? []).filter((address) => !present.has(address))
}

/** Why no new flow can leave by a WAN, one line each; empty when all is well. */
export const troubles = (state: WanState, settings: WanSettings): string[] => {
  if (state.ifindex === 0) return [`interface ${state.name} does not exist`]
  const found: string[] = []
  if (!state.up) found.push(`interface ${state.name} is down or has no carrier`)
  if (settings.addresses.length === 0) found.push(`interface ${state.name} has no IPv4 address`)
  else if (!settings.routes.some(({ prefixLength }) => prefixLength === 0)) found.push(`no default route leaves by ${state.name}`)
  return found
}

/** What keeps new flows from having an address of the pool, in one line; null when nothing does. */
export const poolTrouble = (wans: readonly WanSettings[], names: readonly string[], config: Pick<Config, 'nat'>): string | null => {
  const pool = poolAddresses(config)
  if (pool === null || wans.every(({ addresses }) => addresses.length === 0) || missingFromPool(wans, config).length < pool.length) return null
  return `${names.length === 1 ? `interface ${names[0]} has none` : `none of ${names.join(', ')} has any`} of the addresses of nat.pool`
}
