// Rules and routes as plain data: checks an iptables-save file, edits it, asks a routing table. Needs no privilege.
// node examples/policy.mjs
import { emptyRuleset, initialState, restoreRuleset, runIp, runIptables, saveRuleset } from 'tsnat/policy'

const file = `*nat
-A POSTROUTING -s 172.18.0.0/16 -p tcp -o eth0 -j MASQUERADE --to-ports 55666-55680
-A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE
COMMIT
`
const { ruleset, output } = runIptables(restoreRuleset(emptyRuleset(), file, { file: 'rules.v4' }), ['-t', 'nat', '-vnL', 'POSTROUTING', '--line-numbers'])
process.stdout.write(output)
const edited = runIptables(ruleset, ['-t', 'nat', '-I', 'POSTROUTING', '-d', '10.0.0.0/8', '-j', 'ACCEPT']).ruleset
process.stdout.write(saveRuleset(edited, { now: new Date(0) }))
try {
  runIptables(edited, ['-t', 'nat', '-A', 'POSTROUTING', '-o', 'eth0', '-j', 'MASQARADE'])
} catch (error) {
  console.log(`${error.message} (${error.hint})`)
}

// eth0 has 10.0.2.15/24 and 1.2.3.56/24; the gateway of the one network and of the other lead elsewhere.
const subnet = (address, prefixLength) => ({ address, prefixLength, primary: true })
let state = initialState([
  { number: 1, name: 'lo', up: true, addresses: [subnet(0x7f000001, 8)] },
  { number: 2, name: 'eth0', up: true, addresses: [subnet(0x0a00020f, 24), subnet(0x01020338, 24)] },
])
const ip = (command) => {
  const outcome = runIp(state, command.split(' '))
  state = outcome.state
  process.stdout.write(outcome.output)
}
ip('route add default via 10.0.2.2 dev eth0')
ip('route add 1.1.1.1 via 1.2.3.4 dev eth0')
ip('rule add fwmark 100 lookup 100')
ip('route show')
ip('route get 1.1.1.1')
