/** Which outside addresses the configuration names: those that tsnat alone has, those of the pool, those of deterministic NAT. */
import type { Config } from '../config.js'
import { DeterministicPlan } from '../nat/deterministic.js'
import { parsePool } from '../nat/pool.js'
import type { InterfaceAddress } from '../route/source.js'
import { maskOf, parsePrefix } from '../stack/wire/address.js'

type Outside = Pick<Config, 'wanAddress' | 'nat'>

/** Addresses that tsnat alone has, with their subnets; null when it shares the kernel's. */
export const ownedAddresses = ({ wanAddress }: Pick<Config, 'wanAddress'>): InterfaceAddress[] | null =>
  wanAddress === 'shared'
    ? null
    : wanAddress.owned.map((text) => {
        const { address, length } = parsePrefix(text)!
        return { address, prefixLength: length, primary: true }
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

/** All addresses that no kernel has: the owned ones, then those that only the pool names; null when it shares the kernel's. */
export const exclusiveAddresses = (config: Outside): number[] | null => {
  const owned = ownedAddresses(config)
  return owned === null ? null : [...new Set([...owned.map(({ address }) => address), ...(poolAddresses(config) ?? [])])]
}

/** Those of them that hosts on the link look for there: the owned ones, and those of the pool in one of their subnets. */
export const linkAddresses = (config: Outside): number[] | null => {
  const owned = ownedAddresses(config)
  const isOnLink = (one: number): boolean => owned!.some(({ address, prefixLength }) => ((address ^ one) & maskOf(prefixLength)) === 0)
  return exclusiveAddresses(config)?.filter(isOnLink) ?? null
}

/** Deterministic NAT as configured, null for none: over the pool, or else the owned addresses. */
export const deterministicPlan = (config: Outside): DeterministicPlan | null =>
  config.nat.deterministic === null ? null : new DeterministicPlan(config.nat.deterministic, poolAddresses(config) ?? exclusiveAddresses(config)!)
