"""The middle of the house: what a question becomes, and how it is answered and graded.

Rule: every stage drives its episodes through here; none touches an engine's or a judge's replies itself.
"""
