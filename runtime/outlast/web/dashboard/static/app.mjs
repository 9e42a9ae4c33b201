// What the pages do beside being read. Each module looks for its own attributes; without scripts the links and forms do the same.

import "./choosing.mjs"
import "./copying.mjs"
import "./dialogs.mjs"
import "./live.mjs"
import "./panels.mjs"
import "./steps.mjs"
import "./times.mjs"
