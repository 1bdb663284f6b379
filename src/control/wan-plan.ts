/**
 * From what the kernel says of the WAN to what the data plane gets: which addresses flows may have, and for each route the
 * next hop and the source.
 */
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

/** Routes of addresses that the kernel does not have: their subnets on the link, all else by the gateway. */
const ownedRoutes = (state: WanState, owned: readonly InterfaceAddress[], gateway: number | null): Route[] => {
  const source = (nextHop: number): number => chooseSource(owned, nextHop)
  const links = owned.map(({ address, prefixLength }) => ({
    destination: address & maskOf(prefixLength), prefixLength, gateway: null, source: address,
  }))
  const kernels = state.routes.map(({ destination, prefixLength, gateway: via }) => ({
    destination, prefixLength, gateway: via, source: source(via ?? destination),
  }))
  const byGateway = gateway === null ? [] : [{ destination: 0, prefixLength: 0, gateway, source: source(gateway) }]
  return [...byGateway, ...links, ...kernels]
}

/** Everything the data plane needs to know of the WAN in this state. */
export const planWan = (state: WanState, config: Pick<Config, 'wanAddress' | 'nat'>): WanSettings => {
  const owned = ownedAddresses(config)
  if (owned !== null) {
    const gatewayText = config.wanAddress === 'shared' ? undefined : config.wanAddress.gateway
    const gateway = gatewayText === undefined ? null : parseIpv4(gatewayText)
    return { up: state.up, enabled: state.enabled, mtu: state.mtu, addresses: exclusiveAddresses(config)!, routes: ownedRoutes(state, owned, gateway), sources: owned }
  }
  const usable = state.addresses.filter(({ scope }) => scope < SCOPE_LINK)
  const routes = state.routes.map(({ destination, prefixLength, gateway }) => ({
    destination, prefixLength, gateway, source: chooseSource(usable, gateway ?? destination),
  }))
  return { up: state.up, enabled: state.enabled, mtu: state.mtu, addresses: usable.map(({ address }) => address), routes, sources: usable }
}

/** Addresses of the pool that the WAN does not have (int32): they are not used until it does. */
export const missingFromPool = (settings: WanSettings, config: Pick<Config, 'nat'>): number[] => {
  const present = new Set(settings.addresses)
  return (poolAddresses(config) ?? []).filter((address) => !present.has(address))
}

/** Why no new flow can leave, one line each; empty when all is well. */
export const troubles = (state: WanState, settings: WanSettings, config: Pick<Config, 'nat'>): string[] => {
  if (state.ifindex === 0) return [`interface ${state.name} does not exist`]
  const found: string[] = []
  if (!state.up) found.push(`interface ${state.name} is down or has no carrier`)
  if (settings.addresses.length === 0) found.push(`interface ${state.name} has no IPv4 address`)
  else if (!settings.routes.some(({ prefixLength }) => prefixLength === 0)) found.push(`no default route leaves by ${state.name}`)
  const pool = poolAddresses(config)
  if (pool !== null && settings.addresses.length > 0 && missingFromPool(settings, config).length === pool.length) {
    found.push(`interface ${state.name} has none of the addresses of nat.pool`)
  }
  return found
}
