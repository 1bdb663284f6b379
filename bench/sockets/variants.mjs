// What terminates the client's connections and makes new ones to the server. The client connects to the server's address in all of
// them. Namespaces and addresses are those of bench/gateway.
import { behindVeth, outside, SERVER, slirp } from '../gateway/variants.mjs'
import { installed } from '../gateway/tools.mjs'
import { Host } from './programs.mjs'

/** TCP ports of the server. What is not among `own` is relayed to the server itself. */
export const ports = {
  iperf: 5201,
  /** Each answers with a byte and closes. */
  greet: { first: 7100, count: 64 },
  /** Kept open. */
  hold: 7400,
  /** The same two, answered by the gateway itself. */
  own: { greet: { first: 7200, count: 64 }, hold: 7500 },
}

const range = ({ first, count }) => `${first}-${first + count - 1}`

const services = {
  relay: [ports.iperf, range(ports.greet), ports.hold],
  greet: [range(ports.own.greet)],
  hold: [ports.own.hold],
  server: SERVER,
}

const served = [services.relay, services.greet, services.hold].flat()

const redirected = (rig, rule) => rig.gateway.run('nft', ['-f', '-'], { input: `table ip bench { chain pre { type nat hook prerouting priority -100; ${rule}\n}\n}\n`, check: true })

const hosted = (rig, host, more) => ({ ...rig, ...more, host, process: host.process, ready: host.ready })

/** The client's default route leads into a TUN of a stack, which has the server's address there. */
const alone = async (rig) => {
  const host = new Host(rig.gateway, { ...services, stack: { namespace: rig.client.path, device: 'tun0', addresses: [`${SERVER}/32`] }, kernelOut: true })
  await host.ready
  await rig.client.address('tun0', '10.77.0.2/24')
  await rig.client.up('tun0')
  await rig.client.route('default', undefined, { device: 'tun0' })
  return hosted(rig, host, { own: true, dial: '10.77.0.2' })
}

/** The client's default route leads into a gateway, whose rules redirect to its own sockets. */
const gateway = (kernelOut) => async (lab) => {
  const rig = await outside(lab)
  const rules = ['*nat', ...served.map((port) => `-A PREROUTING -i tun0 -p tcp -m tcp --dport ${String(port).replace('-', ':')} -j REDIRECT`), 'COMMIT'].join('\n')
  const config = { wan: 'eth0', lan: 'tun0', netns: rig.client.path, rules }
  return hosted(rig, new Host(rig.gateway, { ...services, gateway: config, kernelOut }, { TSNAT_RUN_DIR: lab.temporaryDirectory() }), { own: true, dial: SERVER, ...(kernelOut ? { idleMost: 1000 } : {}) })
}

/**
 * `own`: the host's own services can be reached. `dial`: where a host's own connections go, for their rate. `idleMost`: how many idle
 * connections it bears: slirp4netns answers no more with thousands, and the kernel has few ports beside tsnat's.
 */
export const variants = [
  {
    name: 'kernel',
    title: 'kernel sockets in Node, nftables redirect',
    needs: 'nft',
    start: async (lab) => {
      const rig = await behindVeth(lab)
      await redirected(rig, `iifname eth1 tcp dport { ${served.join(', ')} } redirect`)
      return hosted(rig, new Host(rig.gateway, services), { own: true, dial: SERVER })
    },
  },
  { name: 'tsnat', title: 'tsnat, its own sockets by REDIRECT', start: gateway(false) },
  { name: 'tsnat-kernel', title: 'tsnat by REDIRECT, then kernel sockets in Node', start: gateway(true) },
  {
    name: 'stack',
    title: 'the stack alone on a TUN, then kernel sockets in Node',
    start: async (lab) => alone(await outside(lab)),
  },
  ...[1500, 65520].map((mtu) => ({
    name: `slirp4netns-${mtu}`,
    title: `slirp4netns, MTU ${mtu}`,
    needs: 'slirp4netns',
    start: async (lab) => ({ ...await slirp(mtu)(await outside(lab)), own: false, dial: null, idleMost: 1000 }),
  })),
]

export const choose = (names) => {
  const unknown = names.filter((name) => !variants.some((each) => each.name === name))
  if (unknown.length > 0) throw new Error(`unknown variant ${unknown.join(', ')}; known: ${variants.map((each) => each.name).join(', ')}`)
  const wanted = variants.filter((each) => names.length === 0 || names.includes(each.name))
  const missing = wanted.filter((each) => each.needs !== undefined && !installed(each.needs))
  for (const each of missing) console.error(`left out: ${each.name} (${each.needs} is not installed)`)
  return wanted.filter((each) => !missing.includes(each))
}
