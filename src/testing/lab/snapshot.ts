/** The configuration of a namespace as text, to see that something left it as it was. */
import type { NetworkNamespace } from '../../host/namespace.js'
import { Rtnetlink } from '../../host/rtnetlink.js'
import { formatIpv4, formatPrefix } from '../../stack/wire/address.js'

/** A line each for interfaces, IPv4 addresses, routes of all tables and rules, in the kernel's order. */
export const snapshotOf = async (namespace: NetworkNamespace): Promise<string[]> => {
  const kernel = new Rtnetlink(namespace)
  try {
    const links = await kernel.links()
    const name = (index: number): string => links.find((link) => link.index === index)?.name ?? '-'
    const addresses = await kernel.addresses()
    const routes = await kernel.routes()
    const rules = await kernel.rules()
    return [
      ...links.map((link) => `link ${link.name} mtu ${link.mtu} ${link.up ? 'up' : 'down'}`),
      ...addresses.map(({ ifindex, address, prefixLength }) => `address ${name(ifindex)} ${formatPrefix(address, prefixLength)}`),
      ...routes.map(({ table, type, destination, prefixLength, ifindex, gateway, metric }) =>
        `route table ${table} ${type} ${formatPrefix(destination, prefixLength)} ${gateway === null ? '' : `via ${formatIpv4(gateway)} `}dev ${name(ifindex)} metric ${metric}`),
      ...rules.map((rule) => `rule ${JSON.stringify(rule)}`),
    ]
  } finally {
    kernel.close()
  }
}
