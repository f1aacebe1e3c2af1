import packageJson from '../package.json' with { type: 'json' }

/** The version of the gateway, as package.json names it. */
export const { version } = packageJson
