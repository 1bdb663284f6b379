/** Which outside addresses the configuration names: those that tsnat alone has, those of the pool, those of deterministic NAT. */
import type { UplinkConfig } from '../config-wan.js'
import type { Config } from '../config.js'
import { DeterministicPlan } from '../nat/deterministic.js'
import { parsePool } from '../nat/pool.js'
import type { InterfaceAddress } from '../route/source.js'
import { maskOf, parsePrefix } from '../stack/wire/address.js'

type Outside = Pick<Config, 'wans' | 'nat'>

/** Addresses of a WAN that tsnat alone has, with their subnets; null when it shares the kernel's. */
export const ownedAddresses = ({ address }: Pick<UplinkConfig, 'address'>): InterfaceAddress[] | null =>
  address === 'shared'
    ? null
    : address.owned.map((text) => {
        const { address: own, length } = parsePrefix(text)!
        return { address: own, prefixLength: length, primary: true }
      })

/** Pools may be large, and are asked for often. */
const parsed = new WeakMap<Config['nat'], readonly number[]>()

/** Addresses of the pool, int32; null when there is none. */
export const poolAddresses = ({ nat }: Pick<Config, 'nat'>): readonly number[] | null => {
  if (nat.pool === null) return null
  const known = parsed.get(nat) ?? parsePool(nat.pool)!
  parsed.set(nat, known)
  return known
}

const inSubnet = (one: number, { address, prefixLength }: InterfaceAddress): boolean => ((address ^ one) & maskOf(prefixLength)) === 0

/** The WAN that an address of the pool is on, of those with owned addresses: it names it, or it is in its subnet, or it is the first. */
const homeOf = (one: number, wans: readonly UplinkConfig[]): UplinkConfig | undefined => {
  const owning = wans.filter(({ address }) => address !== 'shared')
  return owning.find((wan) => ownedAddresses(wan)!.some(({ address }) => address === one))
    ?? owning.find((wan) => ownedAddresses(wan)!.some((own) => inSubnet(one, own))) ?? owning[0]
}

/** All addresses of a WAN that no kernel has: the owned ones, then those that only the pool names; null when it shares the kernel's. */
export const exclusiveAddresses = (config: Outside, wan: UplinkConfig): number[] | null => {
  const owned = ownedAddresses(wan)
  if (owned === null) return null
  const pool = poolAddresses(config) ?? []
  const ours = config.wans.length === 1 ? pool : pool.filter((one) => homeOf(one, config.wans) === wan)
  return [...new Set([...owned.map(({ address }) => address), ...ours])]
}

/** Those of them that hosts on the link look for there: the owned ones, and those of the pool in one of their subnets. */
export const linkAddresses = (config: Outside, wan: UplinkConfig): number[] | null => {
  const owned = ownedAddresses(wan)
  return exclusiveAddresses(config, wan)?.filter((one) => owned!.some((own) => inSubnet(one, own))) ?? null
}

/** Deterministic NAT as configured, null for none: over the pool, or else the owned addresses of the first WAN. */
export const deterministicPlan = (config: Outside): DeterministicPlan | null =>
  config.nat.deterministic === null
    ? null
    : new DeterministicPlan(config.nat.deterministic, poolAddresses(config) ?? exclusiveAddresses(config, config.wans[0]!)!)
