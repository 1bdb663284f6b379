// The whole gateway without a kernel: a packet goes in at one side and comes out translated at the other. Needs no privilege.
//
//   node examples/nat-in-memory.mjs
import { buildTcp, checkPacket, describePacket, MemoryGateway } from 'tsnat/testing'
import { tcp } from 'tsnat/wire'

const gateway = new MemoryGateway({ wanAddresses: ['203.0.113.1'], seed: 1 })
const show = (what, { bytes }) => console.log(`${what.padEnd(22)}${describePacket(bytes)}${checkPacket(bytes).map((fault) => `\n  ${fault}`).join('')}`)

const syn = buildTcp({ source: '10.0.0.2', destination: '198.51.100.7', sourcePort: 40000, destinationPort: 443, flags: tcp.SYN, df: true })
show('from the inside', { bytes: syn })
const [outside] = gateway.fromLan(syn).toWan()
show('to the outside', outside)

const answer = buildTcp({ source: '198.51.100.7', destination: '203.0.113.1', sourcePort: 443, destinationPort: 40000, flags: tcp.SYN | tcp.ACK })
show('from the outside', { bytes: answer })
const [inside] = gateway.fromWan(answer).toLan()
show('to the inside', inside)

gateway.fromWan(buildTcp({ source: '192.0.2.66', destination: '203.0.113.1', sourcePort: 443, destinationPort: 40000, flags: tcp.SYN }))
console.log(`flows: ${gateway.flows}, dropped: ${JSON.stringify(gateway.drops)}`)

gateway.advance(241)
console.log(`flows four minutes later, as the connection was never established: ${gateway.flows}`)
