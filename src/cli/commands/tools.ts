/** The programs whose words tsnat takes, as the list of commands shows them. Running them is tools.ts of the folder above. */
import { Command } from 'commander'
import { POLICY_TOOLS, type PolicyTool } from '../../api/types.js'

const MEANINGS: Readonly<Record<PolicyTool, string>> = {
  iptables: 'rules of the gateway, in the words of iptables: -t nat -A POSTROUTING …',
  'iptables-save': 'print all rules, as iptables-restore takes them',
  'iptables-restore': 'replace rules by those of a file of iptables-save',
  ip: 'routing by policy, in the words of "ip rule" and "ip route"',
  ipset: 'sets that rules name, in the words of ipset',
}

export const isTool = (name: string): name is PolicyTool => Object.hasOwn(MEANINGS, name)

export const toolCommands = (): Command[] =>
  POLICY_TOOLS.map((tool) => new Command(tool).description(MEANINGS[tool]).argument('[words...]').helpOption(false))
