// On a page without a ranking: what was submitted a moment ago.
"use strict";

LastRanking.tell(document.querySelector("[data-last]"), () => {});
LastRanking.keyGone(document.querySelector("[data-last]")); // no key is listened to here
