// The timeline of long runs. (Filled in with the view of a run.)
