// The gateways that are compared. Each variant builds client, gateway and server in namespaces of its own, the same
// addresses in all, and starts what forwards between them.
//
//   client ── gateway ── server        veth, MTU 1500; the server is 203.0.113.9, the gateway's outside 203.0.113.1
//
// `veth` variants have the client behind a veth of the gateway (192.168.1.0/24); `attached` ones put their own interface
// straight into the client's namespace, as pasta and slirp4netns do, and have no veth between client and gateway.
import { join } from 'node:path'
import { installed, root, tool } from './tools.mjs'

export const SERVER = '203.0.113.9'
const serverMac = '02:00:5e:00:00:09'

/** Gateway and server joined; the client is alone. */
export const outside = async (lab) => {
  const [client, gateway, server] = [await lab.namespace('client'), await lab.namespace('gateway'), await lab.namespace('server')]
  await lab.link(gateway, { name: 'eth0', address: '203.0.113.1/24' }, server, { name: 'eth0', address: `${SERVER}/24`, mac: serverMac })
  await gateway.route('default', SERVER)
  return { lab, client, gateway, server, process: null }
}

export const behindVeth = async (lab) => {
  const rig = await outside(lab)
  await lab.link(rig.client, { name: 'eth0', address: '192.168.1.2/24' }, rig.gateway, { name: 'eth1', address: '192.168.1.1/24' })
  await rig.client.route('default', '192.168.1.1')
  return rig
}

const tsnat = (rig, args) => {
  const cli = [join(root, 'dist', 'cli.js'), 'up', '--wan', 'eth0', '--lan', 'tun0', ...args]
  const process = rig.gateway.spawn(globalThis.process.execPath, ['--trace-gc', ...cli], { env: { TSNAT_RUN_DIR: rig.lab.temporaryDirectory() } })
  return { ...rig, process, ready: process.waitFor(/^ready$/m, 15_000) }
}

const pasta = (mtu) => async (rig) => {
  const args = ['--foreground', '--quiet', '--ipv4-only', '--config-net', '--netns-only', '--runas', '0', '--mtu', String(mtu), '--no-dhcp', '--no-map-gw']
  const ports = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none']
  return { ...rig, process: rig.gateway.spawn('pasta', [...args, ...ports, '--netns', rig.client.bind()]) }
}

export const slirp = (mtu) => async (rig) => {
  const args = ['--configure', `--mtu=${mtu}`, '--netns-type=path', '--disable-host-loopback', rig.client.path, 'tap0']
  return { ...rig, process: rig.gateway.spawn('slirp4netns', args) }
}

const floor = async (rig) => {
  await rig.server.neighbour('eth0', '203.0.113.77', rig.gateway.mac('eth0'))
  const process = rig.gateway.spawn(tool('forwarder'), [rig.client.path, 'tun0', 'eth0', '10.77.0.2', '203.0.113.77', serverMac])
  await process.waitFor(/ready/)
  await rig.client.address('tun0', '10.77.0.2/24')
  await rig.client.up('tun0')
  await rig.client.sysctl('net/ipv4/conf/tun0/rp_filter', 0)
  await rig.client.route('default', undefined, { device: 'tun0' })
  return { ...rig, process }
}

const forwarding = async (rig) => {
  rig.gateway.sysctl('net.ipv4.ip_forward', 1)
  return rig
}

/** `build` makes the namespaces, `start` the gateway; `start` resolves as soon as the gateway has been started. */
export const variants = [
  {
    name: 'direct',
    title: 'kernel forwarding, no NAT',
    build: behindVeth,
    start: async (rig) => {
      await rig.server.route('192.168.1.0/24', '203.0.113.1')
      return forwarding(rig)
    },
  },
  {
    name: 'kernel',
    title: 'kernel, nftables masquerade',
    needs: 'nft',
    build: behindVeth,
    start: async (rig) => {
      const rules = 'table ip bench { chain post { type nat hook postrouting priority 100; oifname eth0 masquerade\n}\n}\n'
      await rig.gateway.run('nft', ['-f', '-'], { input: rules, check: true })
      return forwarding(rig)
    },
  },
  {
    name: 'tsnat',
    title: 'tsnat, TUN in the client\'s namespace',
    build: outside,
    start: async (rig) => tsnat(rig, ['--netns', rig.client.path]),
  },
  {
    name: 'tsnat-router',
    title: 'tsnat, client behind a veth (--capture iif=eth1)',
    build: behindVeth,
    start: async (rig) => tsnat(rig, ['--capture', 'iif=eth1']),
  },
  { name: 'floor', title: 'C copy-forwarder (floor)', build: outside, start: floor },
  { name: 'pasta-1500', title: 'pasta, MTU 1500', needs: 'pasta', build: outside, start: pasta(1500) },
  { name: 'pasta-65520', title: 'pasta, MTU 65520', needs: 'pasta', build: outside, start: pasta(65520) },
  { name: 'slirp4netns-1500', title: 'slirp4netns, MTU 1500', needs: 'slirp4netns', build: outside, start: slirp(1500) },
  { name: 'slirp4netns-65520', title: 'slirp4netns, MTU 65520', needs: 'slirp4netns', build: outside, start: slirp(65520) },
]

/** The variants asked for, in the order of the list; says which cannot run here. */
export const choose = (names) => {
  const unknown = names.filter((name) => !variants.some((each) => each.name === name))
  if (unknown.length > 0) throw new Error(`unknown variant ${unknown.join(', ')}; known: ${variants.map((each) => each.name).join(', ')}`)
  const wanted = variants.filter((each) => names.length === 0 || names.includes(each.name))
  const missing = wanted.filter((each) => each.needs !== undefined && !installed(each.needs))
  for (const each of missing) console.error(`left out: ${each.name} (${each.needs} is not installed)`)
  return wanted.filter((each) => !missing.includes(each))
}
