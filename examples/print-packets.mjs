// Prints the packets that the kernel sends to 10.9.0.0/24, and answers pings. Needs root.
//
//   node examples/print-packets.mjs &
//   ping 10.9.0.7
import { Tun } from 'tsnat'
import { address, checksum, icmp4, ipv4 } from 'tsnat/wire'

const tun = new Tun()
tun.mtu = 1400
tun.ipv4 = '10.9.0.1/24'
tun.isUp = true
console.log(`${tun.name} is up with ${tun.ipv4}, mtu ${tun.mtu}`)

/** Turns an echo request into its reply, in place; a checksum changes by as much as the words it covers. */
const answer = (view, transport) => {
  const [source, destination] = [ipv4.source(view, 0), ipv4.destination(view, 0)]
  ipv4.setSource(view, 0, destination)
  ipv4.setDestination(view, 0, source)
  icmp4.setType(view, transport, icmp4.ECHO_REPLY)
  const change = checksum.delta16(icmp4.ECHO_REQUEST << 8, icmp4.ECHO_REPLY << 8)
  icmp4.setChecksum(view, transport, checksum.update(icmp4.checksum(view, transport), change))
}

tun.on('data', (packet) => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  if (ipv4.version(view, 0) !== 4) return
  const transport = ipv4.headerLength(view, 0)
  const protocol = ipv4.protocol(view, 0)
  console.log(`${address.formatIpv4(ipv4.source(view, 0))} > ${address.formatIpv4(ipv4.destination(view, 0))} protocol ${protocol}, ${packet.length} bytes`)
  if (protocol !== ipv4.PROTOCOL_ICMP || icmp4.type(view, transport) !== icmp4.ECHO_REQUEST) return
  answer(view, transport)
  tun.write(packet)
})

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => tun.release())
