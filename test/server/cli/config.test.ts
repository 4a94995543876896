// Where pond keeps its data: flag, then systemd, then the user's own folder.
import t from 'tap'
import { dataHome } from '../../../server/cli/config.ts'

t.test('the first that is said decides', async (t) => {
  const env = { STATE_DIRECTORY: '/var/lib/pond:/var/lib/other', XDG_DATA_HOME: '/xdg', HOME: '/home/o' }
  t.equal(dataHome(env, '/flag'), '/flag')
  t.equal(dataHome(env), '/var/lib/pond', 'the first of several folders')
  t.equal(dataHome({ ...env, STATE_DIRECTORY: '' }), '/xdg/pond')
  t.equal(dataHome({ HOME: '/home/o' }), '/home/o/.local/share/pond')
  t.match(dataHome({}), /^\/.*\/pond$/)
  t.match(dataHome({}, 'here'), /^\/.*\/here$/, 'always absolute')
})
