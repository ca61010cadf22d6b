//! The mechanism of back pressure: permits, bounded queues, deadlines, retry budgets, drain
